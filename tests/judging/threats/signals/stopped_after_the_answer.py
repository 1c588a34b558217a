# /// judge
# about = "prints the right answer and stops itself: nobody waits for ever"
# verdicts = ["TLE"]
# limits = {wall_secs = 1.0}
# ///
import os, signal
print(7, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
