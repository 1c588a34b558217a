# /// judge
# about = "infinity"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(): return float('inf')
