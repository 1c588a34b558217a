# /// judge
# about = "NaN for a number"
# verdicts = ["WA"]
# tests = [["", "1.5"]]
# ///
print('nan')
