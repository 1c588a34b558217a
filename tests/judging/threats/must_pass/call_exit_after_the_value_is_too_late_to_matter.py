# /// judge
# about = "call style: exit after the value is too late to matter"
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import atexit
atexit.register(print, 'bye')
def f(): return 7
