# /// judge
# about = "underscores, which int() reads"
# verdicts = ["WA"]
# tests = [["", "1000"]]
# ///
print('1_000')
