# /// judge
# about = "exits while defining"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
exit(0)
