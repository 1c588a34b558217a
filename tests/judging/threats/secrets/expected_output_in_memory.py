# /// judge
# about = "looks for the expected output in its memory and prints it: nothing is found, the answer is wrong"
# verdicts = ["WA"]
# tests = [["", "expected-@TOKEN@"]]
# ///
import ctypes
import gc
import os
import re

gc.unfreeze()
known = gc.get_objects()
known += gc.get_referents(*known)
pages = {id(thing) & ~4095 for thing in known}
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
pages |= {libc.sbrk(0) // 4096 * 4096 - 4096 * number for number in range(1, 64)}
secret = re.compile(rb"exp[e]cted-[0-9a-f]{32}")
for page in pages:
    found = secret.search(ctypes.string_at(page, 4096))
    if found:
        print(found[0].decode())
