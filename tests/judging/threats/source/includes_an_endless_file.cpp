// /// judge
// about = "includes a device that never ends"
// verdicts = ["CE"]
// ///
#include "/dev/zero"
int main() {}
