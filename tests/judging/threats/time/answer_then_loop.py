# /// judge
# about = "the right answer, then an endless loop"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
print(7, flush=True)
while True:
    pass
