# /// judge
# about = "sockets of the runner by number"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import socket
socket.socket(fileno=100).send(b'done 0 0.0 1 - 1 0')
