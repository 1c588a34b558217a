// /// judge
// about = "crashes"
// verdicts = ["RE"]
// ///
int main() { return *(volatile int *)nullptr; }
