# /// judge
# about = "the answer and one more"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print(7, 8)
