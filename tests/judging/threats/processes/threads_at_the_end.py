# /// judge
# about = "ends while sixty threads run"
# ///
import os, threading, time
for _ in range(50):
    threading.Thread(target=time.sleep, args=(1000,)).start()
print(7, flush=True)
os._exit(0)
