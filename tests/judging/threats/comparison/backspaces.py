# /// judge
# about = "erases the wrong answer on a terminal"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print('8\b7')
