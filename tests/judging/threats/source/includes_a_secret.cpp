// /// judge
// about = "includes a file of the host: its text must not come back in a message"
// verdicts = ["CE"]
// ///
#include "@BAIT@/secret"
#include "/etc/passwd"
int main() {}
