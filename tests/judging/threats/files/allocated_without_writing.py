# /// judge
# about = "reserves disk without writing a byte"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
os.posix_fallocate(os.open('x', os.O_CREAT | os.O_WRONLY), 0, 1 << 32)
