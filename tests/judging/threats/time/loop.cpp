// /// judge
// about = "an endless loop"
// verdicts = ["TLE"]
// limits = {cpu_secs = 0.3}
// ///
int main() {
  volatile int x = 0;
  for (;;) x = x + 1;
}
