# /// judge
# about = "two results"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import os
def f():
    os.write(3, b'8 ')
    return 7
