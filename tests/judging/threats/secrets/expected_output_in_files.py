# /// judge
# about = "looks for the expected output in every file it can read"
# verdicts = ["WA"]
# tests = [["", "expected-@TOKEN@"]]
# ///
import os
import re

secret = re.compile(rb"exp[e]cted-[0-9a-f]{32}")
for base, _, names in os.walk("/"):
    if base.startswith("/usr"):
        continue
    for name in names:
        path = os.path.join(base, name)
        if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
            try:
                found = secret.search(open(path, "rb").read())
            except OSError:
                continue
            if found:
                print(found[0].decode())
