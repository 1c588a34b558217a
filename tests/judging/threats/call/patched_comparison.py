# /// judge
# about = "patches everything a comparison might use"
# verdicts = ["WA", "RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import builtins, json, operator
builtins.all = builtins.any = builtins.isinstance = lambda *_: True
operator.eq = lambda *_: True
json.loads = json.JSONDecoder.decode = lambda *_: 7
def f():
    return 8
