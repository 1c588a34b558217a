# /// judge
# about = "the right answer, then death by SIGSEGV: never accepted"
# verdicts = ["RE"]
# ///
import os, signal
print(7, flush=True)
signal.signal(signal.SIGSEGV, signal.SIG_DFL) if signal.SIGSEGV != 9 else None
os.kill(os.getpid(), signal.SIGSEGV)
