// /// judge
// about = "exceptions and threads"
// ///
#include <bits/stdc++.h>
using namespace std;
int main() {
  int x = 0;
  thread t([&] { try { throw runtime_error("x"); } catch (const exception &) { x = 7; } });
  t.join();
  cout << x << endl;
}
