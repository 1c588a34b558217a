# /// judge
# about = "reserves huge thread stacks without using them"
# verdicts = ["RE", "MLE"]
# limits = {cpu_secs = 0.3}
# ///
import threading, time
threading.stack_size(1 << 30)
for _ in range(64):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
