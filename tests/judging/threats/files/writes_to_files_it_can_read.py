# /// judge
# about = "writes to files it can read"
# tests = [["", "contained"]]
# ///
import os
print([p for p in (os.__file__, '/usr/lib', '/') if os.access(p, os.W_OK)]
      or 'contained')
