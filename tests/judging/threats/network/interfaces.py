# /// judge
# about = "configures interfaces and listens"
# tests = [["", "contained"]]
# ///
import os
import fcntl, socket, struct
attempts = [
    ("listen", lambda: socket.create_server(('0.0.0.0', 0))),
    ("interface up", lambda: fcntl.ioctl(socket.socket(socket.AF_UNIX), 0x8914, struct.pack('16sh14x', b'lo', 1))),
    ("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))),
    ("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    ("crypto", lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)),
    ("vsock", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).connect((2, 22))),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
