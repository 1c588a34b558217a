# /// judge
# about = "exits before it returns"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import sys
def f(): sys.exit(0)
