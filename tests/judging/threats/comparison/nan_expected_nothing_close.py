# /// judge
# about = "NaN equals nothing, also where zero is expected"
# verdicts = ["WA"]
# tests = [["", "0.0"]]
# ///
print('NaN')
