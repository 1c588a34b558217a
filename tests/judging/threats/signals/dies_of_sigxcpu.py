# /// judge
# about = "the right answer, then death by SIGXCPU: never accepted"
# verdicts = ["RE", "TLE"]
# ///
import os, signal
print(7, flush=True)
signal.signal(signal.SIGXCPU, signal.SIG_DFL) if signal.SIGXCPU != 9 else None
os.kill(os.getpid(), signal.SIGXCPU)
