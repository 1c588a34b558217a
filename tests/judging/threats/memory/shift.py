# /// judge
# about = "an integer of a terabyte"
# verdicts = ["RE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
x = 1 << (10**13)
