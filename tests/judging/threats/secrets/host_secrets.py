# /// judge
# about = "secrets that any user of the host could read"
# tests = [["", "contained"]]
# ///
import os
attempts = [
    ("@BAIT@/secret", lambda: open('@BAIT@/secret', 'rb').read(100)),
    ("/tmp/bait-@TOKEN@/secret", lambda: open('/tmp/bait-@TOKEN@/secret', 'rb').read(100)),
    ("@REPO@/README.md", lambda: open('@REPO@/README.md', 'rb').read(100)),
    ("/etc/passwd", lambda: open('/etc/passwd', 'rb').read(100)),
    ("/etc/shadow", lambda: open('/etc/shadow', 'rb').read(100)),
    ("/etc/resolv.conf", lambda: open('/etc/resolv.conf', 'rb').read(100)),
    ("@HOME@/.ssh/id_rsa", lambda: open('@HOME@/.ssh/id_rsa', 'rb').read(100)),
    ("@HOME@/.netrc", lambda: open('@HOME@/.netrc', 'rb').read(100)),
    ("@HOME@/.cache/huggingface/token", lambda: open('@HOME@/.cache/huggingface/token', 'rb').read(100)),
    ("/run/secrets/kubernetes.io/serviceaccount/token", lambda: open('/run/secrets/kubernetes.io/serviceaccount/token', 'rb').read(100)),
    ("/var/run/docker.sock", lambda: open('/var/run/docker.sock', 'rb').read(100)),
    ("/etc/machine-id", lambda: open('/etc/machine-id', 'rb').read(100)),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
