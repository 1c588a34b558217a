# /// judge
# about = "output flood"
# verdicts = ["OLE"]
# limits = {cpu_secs = 0.3}
# ///
while True: print('x' * 10_000)
