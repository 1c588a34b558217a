# /// judge
# about = "prints the answer only"
# verdicts = ["WA"]
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(): print(7)
