# /// judge
# about = "an integer that prints as another"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
class A(int):
    __repr__ = __str__ = lambda self: '7'
def f():
    return A(8)
