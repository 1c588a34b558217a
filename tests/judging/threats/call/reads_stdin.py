# /// judge
# about = "call style has no input to read"
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f():
    return len(__import__('sys').stdin.read()) + 7
