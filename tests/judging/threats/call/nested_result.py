# /// judge
# about = "a result nested beyond reading"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f():
    x = []
    for _ in range(500):
        x = [x]
    return x
