# /// judge
# about = "result written, then a crash"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import atexit, os
def f(): return 7
atexit.register(os._exit, 3)
