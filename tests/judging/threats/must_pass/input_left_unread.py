# /// judge
# about = "input left unread"
# tests = [["@LONG@", "7"]]
# repeat = {LONG = ["x", 3000000]}
# ///
print(7)
