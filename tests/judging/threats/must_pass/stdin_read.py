# /// judge
# about = "stdin.read"
# tests = [["3 4\n", "7\n"]]
# ///
import sys
print(sum(map(int, sys.stdin.read().split())))
