# /// judge
# about = "double fork"
# tests = [["", "contained"]]
# ///
import os

try:
    os.fork()
except OSError: print('contained')
else: print(1)
