# /// judge
# about = "things of the kernel's that have no process and outlive it"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "shmget": (29, 77, 4096, 0o1666),
    "semget": (64, 77, 1, 0o1666),
    "msgget": (68, 77, 0o1666),
    "mq_open": (240, b'@TOKEN@', 0o102, 0o666, 0),
    "memfd": (319, b'x', 0),
    "secret memory": (447, 0),
    "mq_unlink": (241, b'x'),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
