# /// judge
# about = "asks for pipes of a gigabyte"
# tests = [["", "contained"]]
# ///
import fcntl
try:
    fcntl.fcntl(1, 1031, 1 << 30)
except OSError:
    print('contained')
else:
    print('reached')
