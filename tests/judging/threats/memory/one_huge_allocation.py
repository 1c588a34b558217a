# /// judge
# about = "one huge allocation"
# verdicts = ["MLE"]
# limits = {cpu_secs = 0.3}
# ///
x = [0] * 10**10
