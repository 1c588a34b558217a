# /// judge
# about = "links out of /tmp lead nowhere that can be written"
# tests = [["", "contained"]]
# ///
import os
attempts = [
    ("/", lambda: (os.symlink('/', '/tmp/l0'), open('/tmp/l0/@TOKEN@', 'w'))),
    ("/etc", lambda: (os.symlink('/etc', '/tmp/l1'), open('/tmp/l1/@TOKEN@', 'w'))),
    ("/dev/shm", lambda: (os.symlink('/dev/shm', '/tmp/l2'), open('/tmp/l2/@TOKEN@', 'w'))),
    ("../..", lambda: (os.symlink('../..', '/tmp/l3'), open('/tmp/l3/@TOKEN@', 'w'))),
    ("/usr/lib", lambda: (os.symlink('/usr/lib', '/tmp/l4'), open('/tmp/l4/@TOKEN@', 'w'))),
    ("/proc/self/cwd", lambda: (os.symlink('/proc/self/cwd', '/tmp/l5'), open('/tmp/l5/@TOKEN@', 'w'))),
    ("/dev", lambda: (os.symlink('/dev', '/tmp/l6'), open('/tmp/l6/@TOKEN@', 'w'))),
    ("file", lambda: (os.symlink('@BAIT@/writable', '/tmp/w'), open('/tmp/w', 'r+').write('changed'))),
    ("secret", lambda: (os.symlink('@BAIT@/secret', '/tmp/s'), open('/tmp/s').read())),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
