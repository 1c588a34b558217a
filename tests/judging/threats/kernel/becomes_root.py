# /// judge
# about = "becomes root"
# tests = [["", "contained"]]
# ///
import os

try:
    os.setuid(0)
except OSError: print('contained')
else: print(1)
