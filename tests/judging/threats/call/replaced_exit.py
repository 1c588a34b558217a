# /// judge
# about = "takes the way out away from its runner"
# verdicts = ["WA", "RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import os, sys
os._exit = sys.exit = lambda *_: None
def f():
    return 8
