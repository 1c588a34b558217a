# /// judge
# about = "vanishes"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import os
def f(): os._exit(0)
