# /// judge
# about = "the right answer, then death by SIGKILL: never accepted"
# verdicts = ["RE"]
# ///
import os, signal
print(7, flush=True)
signal.signal(signal.SIGKILL, signal.SIG_DFL) if signal.SIGKILL != 9 else None
os.kill(os.getpid(), signal.SIGKILL)
