# /// judge
# about = "a decimal for a large integer"
# verdicts = ["WA"]
# tests = [["", "1000000000000000001"]]
# ///
print('1e18')
