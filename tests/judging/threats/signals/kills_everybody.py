# /// judge
# about = "kills everybody"
# tests = [["", "contained"]]
# ///
import os

try:
    os.kill(-1, 9)
except OSError: print('contained')
else: print(1)
