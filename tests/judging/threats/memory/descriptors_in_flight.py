# /// judge
# about = "descriptors sent over a socket and closed count against no table"
# verdicts = ["RE", "TLE"]
# limits = {cpu_secs = 0.3}
# ///
import os, socket
a, b = socket.socketpair()
a.setblocking(False)
while True:
    fd = os.open('/dev/null', os.O_RDONLY)
    socket.send_fds(a, [b'x'], [fd])
    os.close(fd)
