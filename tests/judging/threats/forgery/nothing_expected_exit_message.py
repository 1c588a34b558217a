# /// judge
# about = "a crash never passes, not even where nothing is expected: exit message"
# verdicts = ["RE"]
# tests = [["", ""]]
# ///
raise SystemExit('error')
