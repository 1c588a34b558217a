# /// judge
# about = "no page of its memory holds the judge's environment or the host's secrets"
# tests = [["", "contained"]]
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
secret = re.compile(rb"judge-s[e]cret-|host-s[e]cret-|J[U]DGE_SECRET")
print([page for page in pages if secret.search(ctypes.string_at(page, 4096))] or "contained")
