// /// judge
// about = "reads and prints"
// tests = [["3 4", "7"]]
// ///
#include <bits/stdc++.h>
using namespace std;
int main() {
  ios::sync_with_stdio(false);
  cin.tie(nullptr);
  long long a, b;
  cin >> a >> b;
  cout << a + b;
}
