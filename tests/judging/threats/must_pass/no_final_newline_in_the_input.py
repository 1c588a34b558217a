# /// judge
# about = "no final newline in the input"
# tests = [["1\n2", "3"]]
# ///
print(int(input()) + int(input()))
