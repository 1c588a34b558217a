# /// judge
# about = "deep recursion through C"
# tests = [["", "30000"]]
# ///
import functools, sys
sys.setrecursionlimit(10**6)
@functools.lru_cache(None)
def f(n): return 0 if n == 0 else 1 + f(n - 1)
print(f(30_000))
