# /// judge
# about = "calls besides kill that send signals or change who gets them"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "tkill": (200, 1, 9),
    "tgkill": (234, 1, 1, 9),
    "rt_sigqueueinfo": (129, 1, 9, buffer),
    "rt_tgsigqueueinfo": (297, 1, 1, 9, buffer),
    "pidfd_send_signal": (424, 3, 9, 0, 0),
    "setpgid of the init": (109, 1, 1),
    "setpgid": (109, 0, 1),
    "setsid": (112,),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
