# /// judge
# about = "the right answer, then waits for ever"
# verdicts = ["TLE"]
# limits = {wall_secs = 1.0}
# ///
import time
print(7, flush=True)
time.sleep(10**6)
