# /// judge
# about = "every module of the standard library that this installation has, but those that open windows or print"
# tests = [["", "e3b0"]]
# limits = {cpu_secs = 10.0}
# ///
import contextlib
import hashlib
import importlib.util
import io
import sys

SKIPPED = {"antigravity", "idlelib", "lib2to3", "this", "tkinter", "turtle", "turtledemo", "test"}
failed = []
for name in sorted(sys.stdlib_module_names - SKIPPED):
    with contextlib.redirect_stdout(io.StringIO()):
        if name == "__main__" or importlib.util.find_spec(name) is None:
            continue  # of another platform, or left out by the distribution
        try:
            __import__(name)
        except Exception as error:
            failed.append((name, repr(error)))
print(failed or hashlib.sha256(b"").hexdigest()[:4])
