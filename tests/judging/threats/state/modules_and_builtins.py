# /// judge
# about = "patches the interpreter for the next test"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# ///
import builtins
import json
import os
import sys

print("fresh" if print.__module__ == "builtins" and not hasattr(sys, "mark") and "MARK" not in os.environ else "marked")
sys.stdout.flush()
sys.mark = 1
os.environ["MARK"] = "1"
sys.setrecursionlimit(50_000)
json.dumps = json.loads = lambda *_: None
builtins.print = builtins.compile = builtins.exec = lambda *_: None
os.fork = os.write = os.wait4 = lambda *_: 0
