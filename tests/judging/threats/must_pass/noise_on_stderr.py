# /// judge
# about = "noise on stderr"
# tests = [["3 4\n", "7\n"]]
# ///
import sys
sys.stderr.write('debug' * 1_000_000)
print(7)
