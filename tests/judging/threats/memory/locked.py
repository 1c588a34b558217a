# /// judge
# about = "memory locked into the host's RAM"
# tests = [["", "contained"]]
# ///
import ctypes
buffer = ctypes.create_string_buffer(1 << 26)
libc = ctypes.CDLL(None)
print('locked' if libc.mlock(buffer, 1 << 26) == 0 or libc.mlockall(3) == 0 else 'contained')
