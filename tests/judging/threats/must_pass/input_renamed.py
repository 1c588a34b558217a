# /// judge
# about = "input = sys.stdin.readline"
# tests = [["3\n4\n", "7"]]
# ///
import sys
input = sys.stdin.readline
print(int(input()) + int(input()))
