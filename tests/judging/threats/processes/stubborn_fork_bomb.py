# /// judge
# about = "stubborn fork bomb"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import os
while True:
    try: os.fork()
    except OSError: pass
