# /// judge
# about = "signals to itself"
# tests = [["3 4\n", "7\n"]]
# ///
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: print(7))
os.kill(os.getpid(), signal.SIGUSR1)
