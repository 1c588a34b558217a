# /// judge
# about = "call style: mutated arguments"
# tests = [["[[1, 2]]", "7"]]
# fn_name = "f"
# ///
def f(x):
    x.clear()
    return 7
