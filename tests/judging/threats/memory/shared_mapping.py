# /// judge
# about = "anonymous shared memory counts as memory too"
# verdicts = ["RE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
import mmap
maps = []
while True:
    maps.append(mmap.mmap(-1, 1 << 24))
    maps[-1].write(b'x' * (1 << 24))
