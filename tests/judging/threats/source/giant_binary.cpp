// /// judge
// about = "a program of two gigabytes"
// verdicts = ["CE"]
// ///
int x[1 << 29] = {1};
int main() { return x[5]; }
