# /// judge
# about = "changes its input"
# tests = [["", "contained"]]
# ///
import os

try:
    os.write(0, b'x')
except OSError: print('contained')
else: print(1)
