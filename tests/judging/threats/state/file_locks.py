# /// judge
# about = "locks on files all tests see"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# ///
import fcntl, os
fd = os.open(os.__file__, os.O_RDONLY)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print('fresh')
except BlockingIOError:
    print('marked')
