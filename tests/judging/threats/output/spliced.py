# /// judge
# about = "copies a file to stdout inside the kernel, without a byte of its own"
# verdicts = ["OLE"]
# limits = {cpu_secs = 1.0}
# ///
import os
with open('zeros', 'wb') as file:
    file.write(bytes(1 << 20))
fd = os.open('zeros', os.O_RDONLY)
while True:
    os.sendfile(1, fd, 0, 1 << 20)
