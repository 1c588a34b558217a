# /// judge
# about = "two thirds of its CPU time"
# limits = {cpu_secs = 1.0}
# ///
import time
while time.process_time() < 0.6:
    pass
print(7)
