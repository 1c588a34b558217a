// /// judge
// about = "forks for ever"
// verdicts = ["RE", "TLE"]
// limits = {cpu_secs = 0.3}
// ///
#include <unistd.h>
int main() {
  for (;;) fork();
}
