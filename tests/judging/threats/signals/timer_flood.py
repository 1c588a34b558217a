# /// judge
# about = "timers of the kernel's without end"
# verdicts = ["RE", "TLE"]
# limits = {cpu_secs = 0.3}
# ///
import ctypes
libc = ctypes.CDLL(None)
timer = ctypes.c_void_p()
while libc.timer_create(0, None, ctypes.byref(timer)) == 0:
    pass
raise SystemExit(1)
