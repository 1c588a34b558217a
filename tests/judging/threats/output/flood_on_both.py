# /// judge
# about = "stdout and stderr at once, from two threads"
# verdicts = ["OLE"]
# limits = {cpu_secs = 1.0}
# ///
import os, threading
def flood(fd):
    while True:
        os.write(fd, b'x' * 65536)
threading.Thread(target=flood, args=(2,)).start()
flood(1)
