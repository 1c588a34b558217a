# /// judge
# about = "unnamed files in memory, which no limit of /tmp counts: there are none"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
files = []
while True:
    files.append(os.memfd_create('x'))
    os.write(files[-1], b'x' * (1 << 24))
