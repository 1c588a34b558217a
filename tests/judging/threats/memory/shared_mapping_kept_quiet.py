# /// judge
# about = "the same, with the refusals caught: an answer from beyond the limit is not accepted"
# verdicts = ["TLE", "MLE"]
# limits = {cpu_secs = 2.0}
# ///
import mmap
maps = []
try:
    while True:
        maps.append(mmap.mmap(-1, 1 << 24))
        maps[-1].write(b'x' * (1 << 24))
except OSError:
    print(7)
