# /// judge
# about = "descriptor flood"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
while True: os.dup(0)
