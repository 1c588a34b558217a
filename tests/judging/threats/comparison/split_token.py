# /// judge
# about = "one token in two"
# verdicts = ["WA"]
# tests = [["", "12"]]
# ///
print('1 2')
