# /// judge
# about = "noise on every stream, and the right value"
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import sys
def f():
    print('x' * 100_000)
    print('y' * 100_000, file=sys.stderr)
    return 7
