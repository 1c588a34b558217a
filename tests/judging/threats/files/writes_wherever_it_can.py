# /// judge
# about = "writes wherever it can"
# tests = [["", "contained"]]
# ///
import os
written = []
for base, directories, _ in os.walk('/'):
    if base.startswith('/tmp'): continue
    try: open(os.path.join(base, 'escaped'), 'w')
    except OSError: continue
    written.append(base)
    break
print(written or 'contained')
