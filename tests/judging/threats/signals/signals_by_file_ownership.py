# /// judge
# about = "signals by file ownership"
# tests = [["", "contained"]]
# ///
import os
import fcntl
try:
    r, w = os.pipe()
    fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())
except OSError: print('contained')
else: print(1)
