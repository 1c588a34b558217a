# /// judge
# about = "right tokens, wrong order"
# verdicts = ["WA"]
# tests = [["", "1 2"]]
# ///
print(2, 1)
