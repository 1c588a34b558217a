# /// judge
# about = "prints nothing"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
pass
