# /// judge
# about = "reading digits takes time quadratic in their number"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
x = int('7' * 10**6)
