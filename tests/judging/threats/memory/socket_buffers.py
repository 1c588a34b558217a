# /// judge
# about = "memory of the kernel's behind Unix sockets: bounded by the number of descriptors"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import socket
pairs = []
while True:
    pairs.append(socket.socketpair())
    pairs[-1][0].setblocking(False)
    pairs[-1][0].send(b'x' * (1 << 18))
