# /// judge
# about = "sys.exit() in a function"
# tests = [["3 4\n", "7\n"]]
# ///
import sys
def f():
    print(7)
    sys.exit()
f()
