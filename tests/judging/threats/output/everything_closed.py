# /// judge
# about = "everything closed"
# verdicts = ["WA", "RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
os.closerange(0, 4096)
