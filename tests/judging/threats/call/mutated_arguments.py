# /// judge
# about = "changes its arguments so that they look like the answer"
# verdicts = ["WA"]
# tests = [["[[1, 2]]", "[7]"]]
# fn_name = "f"
# ///
def f(x):
    x[:] = [7]
    return x[:0]
