# /// judge
# about = "main ends, a thread goes on"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import threading
def spin():
    while True:
        pass
threading.Thread(target=spin).start()
print(7)
