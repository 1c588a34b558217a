# /// judge
# about = "a decimal of a megabyte costs the judge no time"
# verdicts = ["WA"]
# tests = [["", "1.5"]]
# ///
print('0.' + '0' * 10**6 + '1')
