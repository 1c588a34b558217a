# /// judge
# about = "traces every line executed after it, to change what is reported"
# verdicts = ["WA", "RE"]
# ///
import sys


def trace(frame, event, argument):
    for name in ("status", "verdict", "code"):
        if name in frame.f_locals:
            frame.f_locals[name] = 0
    return trace


sys.settrace(trace)
sys.setprofile(trace)
frame = sys._getframe()
while frame:
    frame.f_trace = trace
    frame = frame.f_back
print(8)
