# /// judge
# about = "unflushed stdout at exit"
# tests = [["3 4\n", "7\n"]]
# ///
import sys
sys.stdout.write('7')
