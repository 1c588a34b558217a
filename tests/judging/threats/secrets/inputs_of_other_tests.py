# /// judge
# about = "the first test finds its own input in memory: the search works; the second finds nothing of it"
# tests = [["first-secret", "found"], ["another", "nothing"]]
# ///
import ctypes, gc, os, re
given = os.read(0, 100)
gc.unfreeze()
known = gc.get_objects()
known += gc.get_referents(*known)
pages = {id(thing) & ~4095 for thing in known}
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
pages |= {libc.sbrk(0) // 4096 * 4096 - 4096 * number for number in range(1, 64)}
secret = re.compile(rb"f[i]rst-s[e]cret")
print("found" if any(secret.search(ctypes.string_at(page, 4096)) for page in pages) else "nothing")
