# /// judge
# about = "two million tokens where one is wanted"
# verdicts = ["WA"]
# limits = {cpu_secs = 1.0}
# ///
print('7 ' * 2_000_000)
