# /// judge
# about = "call style: recursion"
# tests = [["[20000]", "20000"]]
# fn_name = "f"
# ///
import sys
sys.setrecursionlimit(10**5)
def f(n): return n and 1 + f(n - 1)
