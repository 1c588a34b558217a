# /// judge
# about = "call style: method of Solution"
# tests = [["[3, 4]", "7"]]
# fn_name = "f"
# ///
class Solution:
    def f(self, a, b): return a + b
