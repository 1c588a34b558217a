# /// judge
# about = "nothing but a closed stdout"
# verdicts = ["WA", "RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
os.close(1)
