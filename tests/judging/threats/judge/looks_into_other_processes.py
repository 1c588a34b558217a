# /// judge
# about = "looks into other processes"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
results = []
results.append(('101, 16, 2, 0, 0', libc.syscall(101, 16, 2, 0, 0), ctypes.get_errno()))
results.append(('310, 2, 0, 0, 0, 0, 0', libc.syscall(310, 2, 0, 0, 0, 0, 0), ctypes.get_errno()))
results.append(('311, 2, 0, 0, 0, 0, 0', libc.syscall(311, 2, 0, 0, 0, 0, 0), ctypes.get_errno()))
results.append(('434, 2, 0', libc.syscall(434, 2, 0), ctypes.get_errno()))
results.append(('438, 3, 0, 0', libc.syscall(438, 3, 0, 0), ctypes.get_errno()))
through = [r for r in results if r[1] != -1 or r[2] not in (1, 38)]
print(through or 'contained')
