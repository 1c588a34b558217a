# /// judge
# about = "exit status of the runner's own failures"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
os._exit(1)
