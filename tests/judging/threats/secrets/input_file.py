# /// judge
# about = "changes, grows or maps its input for writing"
# tests = [["some input", "contained"]]
# ///
import os
import fcntl, mmap
attempts = [
    ("write", lambda: os.write(0, b'x')),
    ("truncate", lambda: os.ftruncate(0, 0)),
    ("grow", lambda: os.ftruncate(0, 1 << 20)),
    ("map", lambda: mmap.mmap(0, 4, mmap.MAP_SHARED, mmap.PROT_WRITE)),
    ("unseal", lambda: fcntl.fcntl(0, 1033, 0)),
    ("allocate", lambda: os.posix_fallocate(0, 0, 1 << 20)),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
