# /// judge
# about = "catches SIGXCPU and goes on"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import signal
signal.signal(signal.SIGXCPU, lambda *_: None)
signal.signal(signal.SIGTERM, lambda *_: None)
while True:
    pass
