# /// judge
# about = "files that have no name any more still count"
# verdicts = ["RE", "MLE", "OLE"]
# limits = {cpu_secs = 1.0}
# ///
import os
fds = []
while True:
    fds.append(os.open('x', os.O_CREAT | os.O_WRONLY))
    os.unlink('x')
    os.write(fds[-1], b'x' * (1 << 20))
