# /// judge
# about = "a judge's report on every descriptor"
# verdicts = ["WA"]
# limits = {cpu_secs = 0.3}
# ///
import os
for fd in range(256):
    try: os.write(fd, b'done 0 0.0 1 - 1 0')
    except OSError: pass
