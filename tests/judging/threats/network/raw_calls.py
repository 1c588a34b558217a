# /// judge
# about = "sockets of every family by raw calls, high bits of the arguments set"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "family 2": (41, 2, 1, 0),
    "family 10": (41, 10, 1, 0),
    "family 16": (41, 16, 1, 0),
    "family 17": (41, 17, 1, 0),
    "family 29": (41, 29, 1, 0),
    "family 31": (41, 31, 1, 0),
    "family 38": (41, 38, 1, 0),
    "family 40": (41, 40, 1, 0),
    "family 44": (41, 44, 1, 0),
    "high bits": (41, ctypes.c_long((1 << 32) | 2), 1, 0),
    "datagrams": (41, 2, 2, 0),
    "raw": (41, 2, 3, 1),
    "pair": (53, 2, 1, 0, buffer),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38, 97, 94, 22, 93):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
