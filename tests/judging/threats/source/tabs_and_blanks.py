# /// judge
# about = "inconsistent indentation"
# verdicts = ["CE"]
# limits = {cpu_secs = 1.0}
# ///
if 1:
	x = 1
        y = 2
