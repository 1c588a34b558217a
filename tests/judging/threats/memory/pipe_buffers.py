# /// judge
# about = "memory of the kernel's behind pipes: bounded by the number of descriptors"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import os
while True:
    r, w = os.pipe()
    os.set_blocking(w, False)
    os.write(w, b'x' * (1 << 16))
