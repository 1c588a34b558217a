# /// judge
# about = "output flood through the descriptor"
# verdicts = ["OLE"]
# limits = {cpu_secs = 0.3}
# ///
import os
while True: os.write(1, b'x' * 65536)
