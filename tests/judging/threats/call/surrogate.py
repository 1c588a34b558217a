# /// judge
# about = "a lone surrogate in the result"
# verdicts = ["WA", "RE"]
# tests = [["[]", "\"a\""]]
# fn_name = "f"
# ///
def f():
    return '\ud800'
