# /// judge
# about = "the right answer, then death by SIGPIPE: never accepted"
# verdicts = ["RE"]
# ///
import os, signal
print(7, flush=True)
signal.signal(signal.SIGPIPE, signal.SIG_DFL) if signal.SIGPIPE != 9 else None
os.kill(os.getpid(), signal.SIGPIPE)
