# /// judge
# about = "the right answer, then blanks without end"
# verdicts = ["OLE"]
# limits = {cpu_secs = 1.0}
# ///
import sys
print(7)
while True:
    sys.stdout.write(' ' * 65536)
