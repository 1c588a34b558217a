# /// judge
# about = "atexit"
# tests = [["3 4\n", "7\n"]]
# ///
import atexit
atexit.register(lambda: print(7))
