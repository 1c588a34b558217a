# /// judge
# about = "a structure so deep that showing it recurses in C"
# verdicts = ["RE", "MLE"]
# limits = {cpu_secs = 1.0}
# ///
x = []
for _ in range(10**6):
    x = [x]
print(repr(x))
