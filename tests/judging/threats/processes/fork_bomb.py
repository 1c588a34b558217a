# /// judge
# about = "fork bomb"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
while True: os.fork()
