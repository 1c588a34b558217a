# /// judge
# about = "takes more than its share of the host"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
one = ctypes.c_int(1)
calls = {
    "nice up": (141, 0, 0, -20),
    "real time": (144, 0, 1, one),
    "real time by attributes": (314, 0, buffer, 0),
    "input and output": (251, 1, 0, 0x2000),
    "out of memory last": (157, 0x59616d61, 1, 0, 0, 0),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
