# /// judge
# about = "makes processes by raw calls and by flags that look like a thread's"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "fork": (57,),
    "clone": (56, 17, 0, 0, 0, 0),
    "clone with shared memory": (56, 0x100 | 17, 0, 0, 0, 0),
    "clone parent": (56, 0x8000 | 17, 0, 0, 0, 0),
    "clone3": (435, buffer, 88),
    "execve": (59, b'/usr/bin/python3', 0, 0),
    "execveat": (322, -100, b'/usr/bin/python3', 0, 0, 0),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
