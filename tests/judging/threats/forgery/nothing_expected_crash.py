# /// judge
# about = "a crash never passes, not even where nothing is expected: crash"
# verdicts = ["RE"]
# tests = [["", ""]]
# ///
1 / 0
