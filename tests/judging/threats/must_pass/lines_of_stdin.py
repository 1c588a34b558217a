# /// judge
# about = "lines of stdin"
# tests = [["1\n2\n", "3"]]
# ///
import sys
print(sum(int(line) for line in sys.stdin))
