# /// judge
# about = "stdin.buffer line by line"
# tests = [["1\n2\n", "2"]]
# ///
import sys
read = sys.stdin.buffer.readline
read()
print(int(read()))
