# /// judge
# about = "limits its parent"
# tests = [["", "contained"]]
# ///
import os
import resource
try:
    resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))
except OSError: print('contained')
else: print(1)
