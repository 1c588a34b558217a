// /// judge
// about = "recursion a million deep"
// tests = [["", "1"]]
// limits = {cpu_secs = 2.0}
// ///
#include <bits/stdc++.h>
using namespace std;
int f(int n) { volatile char pad[64]; pad[0] = n; return n == 0 ? pad[0] : f(n - 1) + 1; }
int main() { printf("%d\n", f(1000000) > 0); }
