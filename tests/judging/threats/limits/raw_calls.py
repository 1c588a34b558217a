# /// judge
# about = "raises limits by raw calls; -1 with EPERM is the answer"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
unlimited = ctypes.create_string_buffer(b'\xff' * 16, 16)
calls = {
    "prlimit64 of the init": (302, 1, 0, buffer, 0),
    "setrlimit NPROC up": (160, 6, unlimited),
    "setrlimit AS up": (160, 9, unlimited),
    "setrlimit CPU up": (160, 0, unlimited),
    "setrlimit NOFILE up": (160, 7, unlimited),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
