# /// judge
# about = "stdout cannot be read back or emptied"
# tests = [["", "contained"]]
# ///
import os
for action in (lambda: os.read(1, 1), lambda: os.ftruncate(1, 0), lambda: os.lseek(1, 0, 0), lambda: os.pread(1, 1, 0)):
    try:
        action()
    except OSError:
        continue
    print('reached')
print('contained')
