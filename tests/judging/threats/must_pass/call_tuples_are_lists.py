# /// judge
# about = "call style: tuples are lists"
# tests = [["[]", "[1, [2, 3]]"]]
# fn_name = "f"
# ///
def f(): return (1, (2, 3))
