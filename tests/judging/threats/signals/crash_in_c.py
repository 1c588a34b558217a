# /// judge
# about = "crash in C"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import ctypes
ctypes.string_at(0)
