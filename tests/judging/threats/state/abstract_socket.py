# /// judge
# about = "a listener by name, for the next test to talk to"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# ///
import socket
s = socket.socket(socket.AF_UNIX)
try:
    s.connect('\0mark')
except OSError:
    print('fresh')
else:
    print('marked')
listener = socket.socket(socket.AF_UNIX)
listener.bind('\0mark')
listener.listen()
