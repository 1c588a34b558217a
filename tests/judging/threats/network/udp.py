# /// judge
# about = "UDP"
# tests = [["", "contained"]]
# ///
import os
import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))
except OSError: print('contained')
else: print(1)
