# /// judge
# about = "ends, but its exit function does not"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import atexit
@atexit.register
def stay():
    while True:
        pass
print(7)
