# /// judge
# about = "no final newline in the output"
# tests = [["3 4\n", "7\n"]]
# ///
print(7, end='')
