# /// judge
# about = "os._exit(0) after a flush"
# tests = [["3 4\n", "7\n"]]
# ///
import os
print(7, flush=True)
os._exit(0)
