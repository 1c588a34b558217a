# /// judge
# about = "object that is no JSON"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
class A:
    def __eq__(self, other): return True
def f(): return A()
