# /// judge
# about = "other case"
# verdicts = ["WA"]
# tests = [["", "Yes"]]
# ///
print('YES')
