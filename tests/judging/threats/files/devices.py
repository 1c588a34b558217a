# /// judge
# about = "device files beyond the harmless ones"
# tests = [["", "contained"]]
# ///
import os

HARMLESS = {"null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm", "pts", "core"}
found = set(os.listdir("/dev")) - HARMLESS if os.path.exists("/dev") else set()
for path in ("/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/loop0", "/dev/sda", "/dev/vda", "/dev/nvidia0",
             "/dev/nvidiactl", "/dev/accel0", "/dev/tty", "/dev/ptmx", "/dev/console", "/dev/net/tun", "/dev/vsock"):
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        continue
    found.add(path)
for path in ("/dev/null", "/dev/zero"):
    for action in (lambda: os.chmod(path, 0o600), lambda: os.remove(path), lambda: os.rename(path, "/dev/x")):
        try:
            action()
        except OSError:
            continue
        found.add("changed " + path)
print(found or "contained")
