# /// judge
# about = "signals to whatever process there may be"
# tests = [["", "contained"]]
# ///
import os
import signal
attempts = [
    ("kill 0", lambda: [os.kill(p, 9) for p in range(1, 64) if p != os.getpid()]),
    ("the judge", lambda: os.kill(@PID@, 9)),
    ("its group", lambda: os.killpg(@PID@, 9)),
    ("stop the judge", lambda: os.kill(@PID@, signal.SIGSTOP)),
    ("siginfo", lambda: signal.pidfd_send_signal(os.pidfd_open(@PID@), 9)),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except OSError:
        continue
    reached.append(name)
print(reached or 'contained')
