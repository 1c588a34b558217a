# /// judge
# about = "the flood comes from an exit function"
# verdicts = ["OLE"]
# limits = {cpu_secs = 1.0}
# ///
import atexit, os
@atexit.register
def flood():
    while True:
        os.write(1, b' ' * 65536)
print(7)
