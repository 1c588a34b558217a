# /// judge
# about = "wants to know which test this is: no process id, time or memory tells"
# tests = [["", "same"], ["", "same"], ["", "same"]]
# ///
import os
print('same' if os.getpid() < 100 else os.getpid())
