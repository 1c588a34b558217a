# /// judge
# about = "reads a pipe nobody writes to"
# verdicts = ["TLE"]
# limits = {wall_secs = 1.0}
# ///
import os
r, w = os.pipe()
os.read(r, 1)
