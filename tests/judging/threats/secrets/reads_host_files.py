# /// judge
# about = "reads host files"
# tests = [["", "contained"]]
# ///
import os
opened = []
for path in ('/etc/passwd', '/etc/shadow', '/etc/hostname',
    '/proc/self/environ', '/proc/1/cmdline', '/sys/kernel', '/root', '/home', '/var',
    '/dev/shm', '/dev/mem', '/dev/tty', '/run', '/usr/bin/env', '/usr/local', '/opt'):
    if os.path.exists(path): opened.append(path)
print(opened or 'contained')
