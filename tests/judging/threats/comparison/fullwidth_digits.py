# /// judge
# about = "full-width digits"
# verdicts = ["WA"]
# tests = [["", "10"]]
# ///
print('\uff11\uff10')
