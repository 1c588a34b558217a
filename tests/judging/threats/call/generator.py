# /// judge
# about = "a generator instead of a list"
# verdicts = ["RE"]
# tests = [["[]", "[7]"]]
# fn_name = "f"
# ///
def f():
    yield 7
