# /// judge
# about = "hexadecimal for decimal"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print('0x7')
