# /// judge
# about = "a crash never passes, not even where nothing is expected: call"
# verdicts = ["RE"]
# tests = [["[]", "null"]]
# fn_name = "f"
# ///
def f(): raise ValueError
