# /// judge
# about = "infinity for a large number"
# verdicts = ["WA"]
# tests = [["", "1e300 1e300"]]
# ///
print('inf', '1e999')
