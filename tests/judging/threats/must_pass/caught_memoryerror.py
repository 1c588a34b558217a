# /// judge
# about = "caught MemoryError"
# tests = [["3 4\n", "7\n"]]
# ///
try:
    x = [0] * 10**10
except MemoryError:
    print(7)
