# /// judge
# about = "off by two millionths"
# verdicts = ["WA"]
# tests = [["", "1.0"]]
# ///
print(1.000002)
