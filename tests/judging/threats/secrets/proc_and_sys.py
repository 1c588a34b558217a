# /// judge
# about = "what the kernel tells about other processes"
# tests = [["", "contained"]]
# ///
import os
attempts = [
    ("/proc/@PID@/environ", lambda: open('/proc/@PID@/environ', 'rb').read(100)),
    ("/proc/@PID@/mem", lambda: open('/proc/@PID@/mem', 'rb').read(100)),
    ("/proc/@PID@/maps", lambda: open('/proc/@PID@/maps', 'rb').read(100)),
    ("/proc/@PID@/cmdline", lambda: open('/proc/@PID@/cmdline', 'rb').read(100)),
    ("/proc/1/environ", lambda: open('/proc/1/environ', 'rb').read(100)),
    ("/proc/2/mem", lambda: open('/proc/2/mem', 'rb').read(100)),
    ("/proc/kcore", lambda: open('/proc/kcore', 'rb').read(100)),
    ("/proc/kallsyms", lambda: open('/proc/kallsyms', 'rb').read(100)),
    ("/proc/keys", lambda: open('/proc/keys', 'rb').read(100)),
    ("/proc/net/tcp", lambda: open('/proc/net/tcp', 'rb').read(100)),
    ("/sys/kernel/notes", lambda: open('/sys/kernel/notes', 'rb').read(100)),
    ("/proc/sysrq-trigger", lambda: open('/proc/sysrq-trigger', 'rb').read(100)),
    ("/proc/self/mem", lambda: open('/proc/self/mem', 'rb').read(100)),
    ("root of the init", lambda: os.listdir('/proc/1/root')),
    ("own mounts", lambda: open('/proc/self/mountinfo').read()),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
