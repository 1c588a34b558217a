# /// judge
# about = "blanks that are no ASCII blanks join tokens"
# verdicts = ["WA"]
# tests = [["", "1 2"]]
# ///
print('1\u00a02')
