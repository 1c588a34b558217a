# /// judge
# about = "plain"
# tests = [["3 4\n", "7\n"]]
# ///
a, b = map(int, input().split())
print(a + b)
