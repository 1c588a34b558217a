# /// judge
# about = "call style: large integers"
# tests = [["[1000000000000000000000000000000]", "1000000000000000000000000000001"]]
# fn_name = "f"
# ///
def f(x): return x + 1
