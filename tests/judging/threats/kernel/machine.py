# /// judge
# about = "the machine itself"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "reboot": (169, 0xfee1dead, 672274793, 0x1234567, 0),
    "init_module": (175, buffer, 16, b''),
    "finit_module": (313, 0, b'', 0),
    "delete_module": (176, b'x', 0),
    "kexec": (246, 0, 0, 0, 0),
    "iopl": (172, 3),
    "ioperm": (173, 0, 1, 1),
    "settimeofday": (164, buffer, 0),
    "clock_settime": (227, 0, buffer),
    "adjtimex": (159, buffer),
    "sethostname": (170, b'x', 1),
    "setdomainname": (171, b'x', 1),
    "acct": (163, b'/tmp/x'),
    "modify_ldt": (154, 1, buffer, 16),
    "vhangup": (153,),
    "sync": (162,),
    "name_to_handle": (303, -100, b'/tmp', buffer, buffer, 0),
    "open_by_handle": (304, 0, buffer, 0),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
