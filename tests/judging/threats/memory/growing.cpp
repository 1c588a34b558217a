// /// judge
// about = "allocates and touches for ever"
// verdicts = ["RE", "MLE"]
// limits = {cpu_secs = 1.0}
// ///
#include <cstdlib>
#include <cstring>
int main() {
  for (;;) memset(malloc(1 << 20), 1, 1 << 20);
}
