# /// judge
# about = "NaN"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(): return float('nan')
