# /// judge
# about = "functions in functions"
# verdicts = ["AC", "CE"]
# limits = {cpu_secs = 1.0}
# ///
f = lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (lambda: (7))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
print(7)
