# /// judge
# about = "keys outlive processes and are shared between sandboxes of a user"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "add_key": (248, b'user', b'@TOKEN@', b'x', 1, -3),
    "request_key": (249, b'user', b'@TOKEN@', 0, -3),
    "keyctl session": (250, 1, 0),
    "keyctl read": (250, 11, -4, buffer, 4096),
    "keyctl link": (250, 8, -4, -5),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
