# /// judge
# about = "call style: noise on stdout and stderr"
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import sys
print('{}')
def f():
    print('7', file=sys.stderr)
    print(8)
    return 7
