# /// judge
# about = "endless result"
# verdicts = ["OLE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(): return 'x' * (8 << 20)
