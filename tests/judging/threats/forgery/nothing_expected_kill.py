# /// judge
# about = "a crash never passes, not even where nothing is expected: kill"
# verdicts = ["RE"]
# tests = [["", ""]]
# ///
import os, signal
os.kill(os.getpid(), 9)
