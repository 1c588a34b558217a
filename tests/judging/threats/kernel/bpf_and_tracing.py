# /// judge
# about = "programs in the kernel and looks into it"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "bpf": (321, 0, buffer, 72),
    "bpf load": (321, 5, buffer, 72),
    "perf": (298, buffer, 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "seccomp": (317, 1, 0, buffer),
    "seccomp listener": (317, 1, 8, buffer),
    "prctl seccomp": (157, 22, 1, 0, 0, 0),
    "syslog": (103, 3, buffer, 4096),
    "fanotify": (300, 0, 0),
    "lookup_dcookie": (212, 1, buffer, 4096),
    "landlock": (444, 0, 0, 1),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
