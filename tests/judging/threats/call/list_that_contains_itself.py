# /// judge
# about = "a result that has no end"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f():
    x = []
    x.append(x)
    return x
