# /// judge
# about = "descriptors that the judge's process holds open, by number and by path"
# tests = [["", "contained"]]
# ///
import os

reached = []
for number in [*range(3, 1024), @DESCRIPTOR@]:
    try:
        reached.append((number, os.pread(number, 100, 0)))
    except OSError:
        pass
for path in ("/proc/@PID@/fd/@DESCRIPTOR@", "/dev/fd/@DESCRIPTOR@", "/proc/self/fd/@DESCRIPTOR@"):
    try:
        reached.append((path, open(path, "rb").read()))
    except OSError:
        pass
print(reached or "contained")
