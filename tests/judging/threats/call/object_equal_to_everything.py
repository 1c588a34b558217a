# /// judge
# about = "object equal to everything"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
class A(int):
    def __eq__(self, other): return True
    __hash__ = None
def f(): return A(8)
