# /// judge
# about = "closes, shuts down and floods every socket it might have inherited"
# ///
import os
import socket

for number in range(3, 256):
    try:
        with socket.socket(fileno=number) as inherited:
            inherited.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    try:
        os.write(number, b"\0" * 65536)
    except OSError:
        pass
print(7)
