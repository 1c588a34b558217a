# /// judge
# about = "namespaces, mounts, roots"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
results = []
results.append(('272, 0x10000000', libc.syscall(272, 0x10000000), ctypes.get_errno()))
results.append(('272, 0x20000', libc.syscall(272, 0x20000), ctypes.get_errno()))
results.append(('308, 0, 0', libc.syscall(308, 0, 0), ctypes.get_errno()))
results.append(('165, 0, 0, 0, 0, 0', libc.syscall(165, 0, 0, 0, 0, 0), ctypes.get_errno()))
results.append(("161, b'/'", libc.syscall(161, b'/'), ctypes.get_errno()))
results.append(('155, 0, 0', libc.syscall(155, 0, 0), ctypes.get_errno()))
through = [r for r in results if r[1] != -1 or r[2] not in (1, 38)]
print(through or 'contained')
