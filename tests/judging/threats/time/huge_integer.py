# /// judge
# about = "huge integer"
# verdicts = ["TLE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
x = 7 ** (10 ** 8)
