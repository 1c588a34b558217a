# /// judge
# about = "writes to places of the host by every way of naming them"
# tests = [["", "contained"]]
# ///
import os
import ctypes, shutil
attempts = [
    ("new file in ", lambda: open('/@TOKEN@', 'w')),
    ("new file in /var/tmp", lambda: open('/var/tmp/@TOKEN@', 'w')),
    ("new file in /dev/shm", lambda: open('/dev/shm/@TOKEN@', 'w')),
    ("new file in /dev", lambda: open('/dev/@TOKEN@', 'w')),
    ("new file in /run", lambda: open('/run/@TOKEN@', 'w')),
    ("new file in /etc", lambda: open('/etc/@TOKEN@', 'w')),
    ("new file in /usr/lib", lambda: open('/usr/lib/@TOKEN@', 'w')),
    ("new file in /usr", lambda: open('/usr/@TOKEN@', 'w')),
    ("new file in /home", lambda: open('/home/@TOKEN@', 'w')),
    ("new file in @HOME@", lambda: open('@HOME@/@TOKEN@', 'w')),
    ("new file in /proc", lambda: open('/proc/@TOKEN@', 'w')),
    ("new file in /sys", lambda: open('/sys/@TOKEN@', 'w')),
    ("new file in /tmp/..", lambda: open('/tmp/../@TOKEN@', 'w')),
    ("new file in /tmp/../dev/shm", lambda: open('/tmp/../dev/shm/@TOKEN@', 'w')),
    ("new file in @REPO@", lambda: open('@REPO@/@TOKEN@', 'w')),
    ("new file in @BAIT@", lambda: open('@BAIT@/@TOKEN@', 'w')),
    ("bait", lambda: open('@BAIT@/writable', 'w').write('changed')),
    ("directory", lambda: os.mkdir('/@TOKEN@')),
    ("node", lambda: os.mknod('/tmp/node', 0o020666, os.makedev(1, 3))),
    ("rename", lambda: os.rename('/usr/lib', '/usr/@TOKEN@')),
    ("remove", lambda: os.remove(os.__file__)),
    ("mode", lambda: os.chmod(os.__file__, 0o777)),
    ("owner", lambda: os.chown('/tmp', 0, 0)),
    ("times", lambda: os.utime(os.__file__)),
    ("truncate", lambda: os.truncate(os.__file__, 0)),
    ("hard link", lambda: os.link(os.__file__, '/tmp/link')),
    ("attribute", lambda: os.setxattr('/tmp', 'user.x', b'x')),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
