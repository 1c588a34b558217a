# /// judge
# about = "quit(0)"
# tests = [["3 4\n", "7\n"]]
# ///
print(7)
quit(0)
