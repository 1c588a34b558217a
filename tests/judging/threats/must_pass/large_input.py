# /// judge
# about = "sums half a million numbers"
# tests = [["@ONES@", "500000"]]
# repeat = {ONES = ["1 ", 500000]}
# ///
import sys
print(sum(map(int, sys.stdin.buffer.read().split())))
