# /// judge
# about = "a gigabyte out of a megabyte"
# verdicts = ["TLE", "MLE"]
# limits = {cpu_secs = 1.0}
# ///
import zlib
packed = zlib.compress(b'0' * (1 << 20))
packed = [zlib.decompress(packed) for _ in range(1 << 12)]
