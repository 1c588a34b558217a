# /// judge
# about = "a suffix of other languages"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print('7L')
