# /// judge
# about = "call style: nothing returned"
# tests = [["[]", "null"]]
# fn_name = "f"
# ///
def f(): pass
