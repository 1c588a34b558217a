# /// judge
# about = "finds other descriptors"
# tests = [["", "contained"]]
# ///
import os
found = []
for fd in range(3, 4096):
    try: os.fstat(fd)
    except OSError: continue
    found.append(fd)
print(found or 'contained')
