# /// judge
# about = "call style: lambda"
# tests = [["[\"ab\"]", "\"abab\""]]
# fn_name = "f"
# ///
f = lambda x: x * 2
