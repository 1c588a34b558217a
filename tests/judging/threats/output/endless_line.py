# /// judge
# about = "one line that never ends, never flushed by a newline"
# verdicts = ["OLE"]
# limits = {cpu_secs = 1.0}
# ///
import sys
while True:
    sys.stdout.write('7' * 4096)
