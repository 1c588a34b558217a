# /// judge
# about = "busy threads"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import threading
def spin():
    while True: pass
for _ in range(8): threading.Thread(target=spin).start()
