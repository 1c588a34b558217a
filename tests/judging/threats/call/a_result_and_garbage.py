# /// judge
# about = "a result and garbage"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import os
def f():
    os.write(3, b'7]')
    os._exit(0)
