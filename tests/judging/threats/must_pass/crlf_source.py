# /// judge
# about = "CRLF source"
# tests = [["x", "x"]]
# ///
a = input()
if a:
    print(a)
