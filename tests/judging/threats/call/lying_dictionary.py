# /// judge
# about = "a dictionary whose items change"
# verdicts = ["WA", "RE"]
# tests = [["[]", "{\"a\": 7}"]]
# fn_name = "f"
# ///
class D(dict):
    def items(self):
        return iter([('a', 8)])
def f():
    return D(a=7, b=1)
