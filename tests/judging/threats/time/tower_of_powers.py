# /// judge
# about = "more digits than atoms"
# verdicts = ["TLE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
x = 9 ** 9 ** 9
