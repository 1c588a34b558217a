# /// judge
# about = "call style: text"
# tests = [["[\"aé漢\"]", "\"漢éa\""]]
# fn_name = "f"
# ///
def f(x): return x[::-1]
