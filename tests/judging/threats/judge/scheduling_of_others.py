# /// judge
# about = "slows down, moves or limits the runner and the judge"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "setpriority runner": (141, 0, 2, 19),
    "sched_setaffinity runner": (203, 2, 8, buffer),
    "sched_setscheduler runner": (144, 2, 5, buffer),
    "sched_setattr runner": (314, 2, buffer, 0),
    "ioprio_set runner": (251, 1, 2, 0x6007),
    "prlimit64 runner": (302, 2, 7, buffer, 0),
    "setpgid runner": (109, 2, 2),
    "setpriority judge": (141, 0, @PID@, 19),
    "sched_setaffinity judge": (203, @PID@, 8, buffer),
    "sched_setscheduler judge": (144, @PID@, 5, buffer),
    "sched_setattr judge": (314, @PID@, buffer, 0),
    "ioprio_set judge": (251, 1, @PID@, 0x6007),
    "prlimit64 judge": (302, @PID@, 7, buffer, 0),
    "setpgid judge": (109, @PID@, @PID@),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
