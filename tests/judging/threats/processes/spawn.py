# /// judge
# about = "starts programs in every way the library knows"
# tests = [["", "contained"]]
# ///
import os
import subprocess, sys
attempts = [
    ("posix_spawn", lambda: os.posix_spawn(sys.executable, ['python', '-c', ''], {})),
    ("system", lambda: os.system('true') and (_ for _ in ()).throw(OSError())),
    ("vfork", lambda: subprocess.Popen([sys.executable, '-c', ''])),
    ("popen", lambda: os.popen('true')),
    ("pty", lambda: __import__('pty').fork()),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except OSError:
        continue
    reached.append(name)
print(reached or 'contained')
