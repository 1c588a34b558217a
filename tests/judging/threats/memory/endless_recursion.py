# /// judge
# about = "endless recursion"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
def f(): f()
f()
