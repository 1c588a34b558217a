# /// judge
# about = "opens a FIFO nobody else opens, or is not allowed to make one"
# verdicts = ["RE", "TLE"]
# limits = {wall_secs = 1.0}
# ///
import os
try:
    os.mkfifo('/tmp/f')
except OSError:
    raise SystemExit(1)
open('/tmp/f').read()
