# /// judge
# about = "call style: function"
# tests = [["[3, 4]", "7"]]
# fn_name = "f"
# ///
def f(a, b): return a + b
