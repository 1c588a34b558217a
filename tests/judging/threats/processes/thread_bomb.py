# /// judge
# about = "thread bomb"
# verdicts = ["RE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
import threading, time
while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
