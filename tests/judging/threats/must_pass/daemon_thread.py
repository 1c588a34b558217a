# /// judge
# about = "a daemon thread does not keep the program"
# ///
import threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print(7)
