# /// judge
# about = "an exponent that no number has"
# verdicts = ["WA"]
# tests = [["", "1.0 1.0"]]
# ///
print('1e999999999999', '1e-999999999999')
