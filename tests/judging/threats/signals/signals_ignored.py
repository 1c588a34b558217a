# /// judge
# about = "signals ignored"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import signal
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass
