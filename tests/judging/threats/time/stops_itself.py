# /// judge
# about = "stops itself: ended by the wall limit, whatever its CPU time"
# verdicts = ["TLE"]
# message = "did not end within 1 s of wall time"
# limits = {wall_secs = 1.0}
# ///
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
