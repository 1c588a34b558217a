# /// judge
# about = "new namespaces of every kind, by unshare, clone and setns"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "unshare user": (272, 0x10000000),
    "unshare mount": (272, 0x20000),
    "unshare pid": (272, 0x20000000),
    "unshare network": (272, 0x40000000),
    "unshare ipc": (272, 0x8000000),
    "unshare names": (272, 0x4000000),
    "unshare groups": (272, 0x2000000),
    "unshare time": (272, 0x80),
    "unshare files": (272, 0x400),
    "unshare all": (272, 0x7e020080),
    "clone user": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone thread user": (56, 0x10000000 | 0x10f00, 0, 0, 0, 0),
    "setns": (308, 0, 0),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38, 22):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
