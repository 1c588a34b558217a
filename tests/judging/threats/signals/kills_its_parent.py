# /// judge
# about = "kills its parent"
# tests = [["", "contained"]]
# ///
import os

try:
    os.kill(os.getppid(), 9)
except OSError: print('contained')
else: print(1)
