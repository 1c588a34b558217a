# /// judge
# about = "takes more memory than allowed, gives it back and answers: the peak decides"
# verdicts = ["MLE"]
# limits = {cpu_secs = 2.0}
# ///
x = bytearray(200 << 20)
x[::4096] = b'x' * len(x[::4096])
del x
print(7)
