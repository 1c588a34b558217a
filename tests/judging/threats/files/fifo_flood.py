# /// judge
# about = "FIFOs, sockets and links instead of files"
# verdicts = ["RE", "OLE"]
# limits = {cpu_secs = 1.0}
# ///
import os, socket
for i in range(10**6):
    os.symlink('x' * 200, f's{i}')
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f'u{i}')
