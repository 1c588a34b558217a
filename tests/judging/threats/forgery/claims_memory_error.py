# /// judge
# about = "says MemoryError where there is none: still not accepted"
# verdicts = ["RE", "MLE"]
# ///
import sys
print(7)
sys.stderr.write('MemoryError\n')
sys.exit(1)
