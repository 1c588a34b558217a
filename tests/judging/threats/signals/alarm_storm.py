# /// judge
# about = "a timer that fires all the time"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
while True:
    pass
