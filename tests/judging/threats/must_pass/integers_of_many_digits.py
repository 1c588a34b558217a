# /// judge
# about = "integers of many digits"
# tests = [["", "1@ZEROS@"]]
# repeat = {ZEROS = ["0", 5000]}
# ///
print(10**5000)
