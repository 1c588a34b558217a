# /// judge
# about = "wrong number of arguments"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(a, b, c): return 7
