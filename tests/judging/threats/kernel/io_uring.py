# /// judge
# about = "asynchronous calls, which pass by system call filters"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "setup": (425, 8, buffer),
    "enter": (426, 0, 1, 0, 0, 0, 0),
    "register": (427, 0, 0, 0, 0),
    "io_setup": (206, 8, buffer),
    "io_submit": (209, 0, 1, buffer),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
