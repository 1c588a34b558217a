# /// judge
# about = "source with byte order mark"
# tests = [["", "1"]]
# ///
print(1)
