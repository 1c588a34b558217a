# /// judge
# about = "constants folded by the compiler"
# verdicts = ["RE", "TLE", "MLE", "CE"]
# limits = {cpu_secs = 1.0}
# ///
x = 2 ** 10**6 ** 10**6
