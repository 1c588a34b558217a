# /// judge
# about = "bytes instead of text"
# verdicts = ["RE"]
# tests = [["[]", "\"a\""]]
# fn_name = "f"
# ///
def f():
    return b'a'
