# /// judge
# about = "the right answer, then death by SIGTERM: never accepted"
# verdicts = ["RE"]
# ///
import os, signal
print(7, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_DFL) if signal.SIGTERM != 9 else None
os.kill(os.getpid(), signal.SIGTERM)
