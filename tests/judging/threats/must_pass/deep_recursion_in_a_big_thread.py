# /// judge
# about = "deep recursion in a big thread"
# tests = [["", "50000"]]
# ///
import sys, threading
sys.setrecursionlimit(10**6)
threading.stack_size(1 << 28)
def f(n): return 0 if n == 0 else 1 + f(n - 1)
thread = threading.Thread(target=lambda: print(f(50_000)))
thread.start()
thread.join()
