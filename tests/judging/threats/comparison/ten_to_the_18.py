# /// judge
# about = "equal as doubles, not as integers"
# verdicts = ["WA"]
# tests = [["", "1000000000000000001"]]
# ///
print(10**18)
