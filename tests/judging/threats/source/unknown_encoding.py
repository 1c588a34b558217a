# coding: no-such-encoding
# /// judge
# about = "a coding line nobody knows"
# verdicts = ["AC", "CE"]
# limits = {cpu_secs = 1.0}
# ///
print(7)
