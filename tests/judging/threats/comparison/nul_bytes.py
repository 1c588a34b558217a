# /// judge
# about = "NUL bytes beside the digits"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print('7\0')
