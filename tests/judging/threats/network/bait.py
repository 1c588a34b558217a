# /// judge
# about = "sockets of the host that listen for it: none is reached"
# tests = [["", "contained"]]
# ///
import os
import socket
attempts = [
    ("TCP", lambda: socket.create_connection(('127.0.0.1', @TCP_PORT@), timeout=1)),
    ("TCP 6", lambda: socket.create_connection(('::1', @TCP6_PORT@), timeout=1)),
    ("UDP", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', @UDP_PORT@))),
    ("named", lambda: socket.socket(socket.AF_UNIX).connect('@BAIT@/socket')),
    ("abstract", lambda: socket.socket(socket.AF_UNIX).connect('\0bait-@TOKEN@')),
    ("by gateway", lambda: socket.create_connection(('10.0.2.2', @TCP_PORT@), timeout=1)),
    ("fast open", lambda: socket.socket(socket.AF_INET).sendto(b'x', 0x20000000, ('127.0.0.1', @TCP_PORT@))),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
