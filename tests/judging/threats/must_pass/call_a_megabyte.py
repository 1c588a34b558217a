# /// judge
# about = "call style: a megabyte"
# tests = [["[300000]", "[@ZEROS@0]"]]
# fn_name = "f"
# repeat = {ZEROS = ["0, ", 299999]}
# ///
def f(n): return [0] * n
