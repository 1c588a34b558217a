# /// judge
# about = "hides from CPU limits by sleeping"
# verdicts = ["TLE"]
# message = "did not end within 1 s of wall time"
# limits = {wall_secs = 1.0}
# ///
import time
while True:
    time.sleep(0.001)
