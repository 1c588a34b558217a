# /// judge
# about = "detaches as daemons do"
# tests = [["", "contained"]]
# ///
import os
attempts = [
    ("fork", lambda: os.fork()),
    ("forkpty", lambda: os.forkpty()),
    ("setsid", lambda: os.setsid()),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except OSError:
        continue
    reached.append(name)
print(reached or 'contained')
