# /// judge
# about = "stdin as bytes"
# tests = [["3 4\n", "7\n"]]
# ///
import sys
print(sum(map(int, sys.stdin.buffer.readline().split())))
