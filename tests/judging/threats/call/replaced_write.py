# /// judge
# about = "patches how results are sent"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import os
real = os.write
os.write = lambda fd, data: real(fd, b'8') and len(data)
def f():
    return 7
