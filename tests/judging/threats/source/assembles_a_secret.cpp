// /// judge
// about = "has the assembler read a file of the host"
// verdicts = ["CE"]
// ///
#include <cstdio>
asm(".data\nsecret: .incbin \"@BAIT@/secret\"\n.byte 0\n.text");
extern char secret[] asm("secret");
int main() { puts(secret); }
