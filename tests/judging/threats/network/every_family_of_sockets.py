# /// judge
# about = "every family of sockets"
# tests = [["", "contained"]]
# ///
import socket
opened = []
for family in range(46):
    for kind in (1, 2, 3, 5):
        try: socket.socket(family, kind)
        except OSError: continue
        opened.append(family)
print('contained' if set(opened) <= {1} else opened)
