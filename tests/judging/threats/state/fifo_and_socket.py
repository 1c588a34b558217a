# /// judge
# about = "leaves a mark for the next test: a FIFO and a bound socket"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# limits = {cpu_secs = 1.0}
# ///
import os
print('fresh' if not os.listdir('/tmp') else 'marked')
import socket
socket.socket(socket.AF_UNIX).bind('/tmp/socket')
try:
    os.mkfifo('/tmp/fifo')
except OSError:
    pass
