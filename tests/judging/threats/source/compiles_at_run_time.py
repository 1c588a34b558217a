# /// judge
# about = "a compile bomb in a test instead"
# verdicts = ["RE", "MLE"]
# limits = {cpu_secs = 1.0}
# ///
eval('(' * 100_000)
