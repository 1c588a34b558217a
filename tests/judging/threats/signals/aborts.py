# /// judge
# about = "aborts"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
os.abort()
