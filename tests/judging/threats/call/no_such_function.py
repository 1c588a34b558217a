# /// judge
# about = "no such function"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def g(): return 7
