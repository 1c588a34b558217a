# /// judge
# about = "one answer of two"
# verdicts = ["WA"]
# tests = [["", "7 7"]]
# ///
print(7)
