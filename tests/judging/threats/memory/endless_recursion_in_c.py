# /// judge
# about = "endless recursion in C"
# verdicts = ["RE", "TLE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
import sys
sys.setrecursionlimit(10**9)
class A:
    def __getattr__(self, name): return getattr(self, name + 'x')
A().x
