# /// judge
# about = "growing list"
# verdicts = ["MLE"]
# limits = {cpu_secs = 0.3}
# ///
x = []
while True: x.append(bytearray(1 << 20))
