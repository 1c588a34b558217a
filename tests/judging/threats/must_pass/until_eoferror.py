# /// judge
# about = "until EOFError"
# tests = [["1\n2\n", "3"]]
# ///
total = 0
try:
    while True:
        total += int(input())
except EOFError:
    print(total)
