# /// judge
# about = "all the answers there may be"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print(*range(100))
