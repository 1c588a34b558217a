# /// judge
# about = "memory hog that catches MemoryError"
# verdicts = ["TLE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
x = []
while True:
    try: x.append(b'x' * (1 << 20))
    except MemoryError: pass
