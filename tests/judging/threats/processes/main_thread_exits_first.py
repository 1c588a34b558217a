# /// judge
# about = "the main thread leaves by the raw call, another stays: the process is still ended"
# verdicts = ["RE", "TLE"]
# limits = {wall_secs = 1.0}
# machine = "x86_64"
# ///
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
print(7, flush=True)
ctypes.CDLL(None).syscall(60, 0)
