# /// judge
# about = "source within source"
# verdicts = ["RE"]
# limits = {cpu_secs = 1.0}
# ///
exec("exec(" * 50)
