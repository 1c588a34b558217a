# /// judge
# about = "kills its parent's group"
# tests = [["", "contained"]]
# ///
import os

try:
    os.killpg(os.getpgid(os.getppid()), 9)
except OSError: print('contained')
else: print(1)
