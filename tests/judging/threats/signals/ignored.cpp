// /// judge
// about = "ignores and blocks every signal"
// verdicts = ["TLE"]
// limits = {cpu_secs = 0.3}
// ///
#include <csignal>
int main() {
  for (int n = 1; n < 65; n++) signal(n, SIG_IGN);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  for (;;) {}
}
