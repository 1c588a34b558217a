# /// judge
# about = "names of the host: user, machine, working directory, arguments, terminal"
# tests = [["", "contained"]]
# ///
import os
import socket
import sys

told = {"host": socket.gethostname(), "home": os.path.expanduser("~"), "directory": os.getcwd(), "arguments": str(sys.argv)}
try:
    told["terminal"] = os.ttyname(0)
except OSError:
    pass
print([value for value in told.values() if any(word in value for word in ("@REPO@", "/root", "/home", "/dev/"))] or "contained")
