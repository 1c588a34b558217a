# /// judge
# about = "a coroutine instead of a value"
# verdicts = ["RE"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
async def f():
    return 7
