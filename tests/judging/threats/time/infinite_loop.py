# /// judge
# about = "infinite loop"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
while True: pass
