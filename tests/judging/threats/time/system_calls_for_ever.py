# /// judge
# about = "time in the kernel is time too"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import os
while True:
    os.stat('/')
