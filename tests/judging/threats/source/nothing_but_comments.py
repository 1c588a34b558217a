# /// judge
# about = "no statement at all"
# verdicts = ["WA", "CE"]
# limits = {cpu_secs = 1.0}
# ///
# nothing
