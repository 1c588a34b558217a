# /// judge
# about = "call style: function before Solution"
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(): return 7
class Solution: pass
