# /// judge
# about = "types into a terminal"
# tests = [["", "contained"]]
# ///
import os
import fcntl, termios
try:
    fcntl.ioctl(0, termios.TIOCSTI, b'x')
except OSError: print('contained')
else: print(1)
