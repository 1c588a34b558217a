# /// judge
# about = "patched json"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
import json
json.dumps = lambda *_: 'true'
def f(): return 8
