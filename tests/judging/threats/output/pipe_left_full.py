# /// judge
# about = "makes its own stdout nonblocking and leaves it full: what was written counts"
# verdicts = ["WA"]
# ///
import os
os.set_blocking(1, False)
os.write(1, b'8 ' * 1000)
