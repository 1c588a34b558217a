# /// judge
# about = "open(0)"
# tests = [["3 4\n", "7\n"]]
# ///
print(sum(map(int, open(0).read().split())))
