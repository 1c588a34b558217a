# /// judge
# about = "true for a number"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(): return True
