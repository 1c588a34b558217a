# /// judge
# about = "kernel features not needed"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
results = []
results.append(('425, 8, buffer', libc.syscall(425, 8, buffer), ctypes.get_errno()))
results.append(('321, 0, buffer, 64', libc.syscall(321, 0, buffer, 64), ctypes.get_errno()))
results.append(('250, 0, 0', libc.syscall(250, 0, 0), ctypes.get_errno()))
results.append(('248, 0, 0, 0, 0, 0', libc.syscall(248, 0, 0, 0, 0, 0), ctypes.get_errno()))
results.append(('323, 0', libc.syscall(323, 0), ctypes.get_errno()))
results.append(('298, buffer, 0, -1, -1, 0', libc.syscall(298, buffer, 0, -1, -1, 0), ctypes.get_errno()))
results.append(("319, b'x', 0", libc.syscall(319, b'x', 0), ctypes.get_errno()))
results.append(("175, buffer, 0, b''", libc.syscall(175, buffer, 0, b''), ctypes.get_errno()))
results.append(('169, 0, 0, 0, 0', libc.syscall(169, 0, 0, 0, 0), ctypes.get_errno()))
through = [r for r in results if r[1] != -1 or r[2] not in (1, 38)]
print(through or 'contained')
