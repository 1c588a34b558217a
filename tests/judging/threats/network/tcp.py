# /// judge
# about = "TCP"
# tests = [["", "contained"]]
# ///
import os
import socket
try:
    socket.create_connection(('127.0.0.1', 22), timeout=1)
except OSError: print('contained')
else: print(1)
