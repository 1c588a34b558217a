# /// judge
# about = "makes a FIFO"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
os.mkfifo('/tmp/fifo')
open('/tmp/fifo')
