# /// judge
# about = "exec"
# tests = [["", "contained"]]
# ///
import os
import sys
try:
    os.execv(sys.executable, ['python', '-c', 'print(1)'])
except OSError: print('contained')
else: print(1)
