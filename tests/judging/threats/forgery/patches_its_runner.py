# /// judge
# about = "rewrites the functions of the process it was forked from: what is asserted of the exit status holds"
# verdicts = ["WA", "RE"]
# ///
import gc
import sys
import types

frame = sys._getframe().f_back
while frame:
    for name, value in list(frame.f_globals.items()):
        if isinstance(value, types.FunctionType):
            value.__code__ = (lambda *_, **__: 0).__code__
    frame = frame.f_back
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__code__.co_filename in ("<string>", "runner.py"):
        thing.__code__ = (lambda *_, **__: 0).__code__
print(8)
