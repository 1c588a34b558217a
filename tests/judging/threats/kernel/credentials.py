# /// judge
# about = "other users, groups and capabilities"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
header = (ctypes.c_int * 2)(0x20080522, 0)
calls = {
    "setuid": (105, 0),
    "setgid": (106, 0),
    "setreuid": (113, 0, 0),
    "setresuid": (117, 0, 0, 0),
    "setgroups": (116, 1, buffer),
    "setfsuid": (122, 0),
    "capset": (126, header, buffer),
    "ambient": (157, 47, 2, 0, 0, 0),
    "keep": (157, 8, 1, 0, 0, 0),
    "securebits": (157, 28, 0, 0, 0, 0),
    "personality": (135, 0x40000),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
