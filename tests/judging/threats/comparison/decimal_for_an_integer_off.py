# /// judge
# about = "an integer wanted, a decimal that rounds to it"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print(6.9999)
