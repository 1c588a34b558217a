# /// judge
# about = "a daemon thread sleeps in C while main ends: the process ends with it"
# ///
import ctypes, threading
threading.Thread(target=ctypes.CDLL(None).sleep, args=(1000,), daemon=True).start()
print(7)
