# /// judge
# about = "stderr flood"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import os
while True: os.write(2, b'x' * 65536)
