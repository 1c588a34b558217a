# /// judge
# about = "types into the terminal of whoever started the judge, by every descriptor and request"
# tests = [["", "contained"]]
# ///
import fcntl
import os

TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCCONS, TIOCSETD = 0x5412, 0x541C, 0x540E, 0x541D, 0x5423
reached = []
descriptors = [0, 1, 2]
for path in ("/dev/tty", "/dev/console", "/dev/pts/0", "/dev/ptmx", "/dev/tty0"):
    try:
        descriptors.append(os.open(path, os.O_RDWR))
    except OSError:
        pass
for descriptor in descriptors:
    for request in (TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCCONS, TIOCSETD, TIOCSTI | 1 << 32, TIOCSTI | 1 << 63):
        try:
            fcntl.ioctl(descriptor, request & 0xFFFFFFFF if request >> 32 == 0 else request - (1 << 64) if request >> 63 else request, b"x")
        except (OSError, OverflowError):
            continue
        reached.append((descriptor, request))
print(reached or "contained")
