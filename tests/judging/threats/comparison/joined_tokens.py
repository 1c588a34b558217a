# /// judge
# about = "two tokens in one"
# verdicts = ["WA"]
# tests = [["", "1 2"]]
# ///
print('12')
