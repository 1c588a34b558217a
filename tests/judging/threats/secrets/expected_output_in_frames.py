# /// judge
# about = "looks for the expected output in the frames and objects of whoever calls it"
# verdicts = ["WA"]
# tests = [["", "expected-@TOKEN@"]]
# ///
import gc
import sys

frame, seen = sys._getframe(), []
while frame:
    seen += [*frame.f_locals.values(), *frame.f_globals.values()]
    frame = frame.f_back
for thing in [*seen, *gc.get_objects()]:
    if isinstance(thing, (str, bytes)) and "pected-" in str(thing)[:60]:
        print(thing)
