# /// judge
# about = "NUL byte: an interpreter that reads a file stops at it, one that compiles text does not"
# verdicts = ["CE"]
# repeat = {NUL = ["\u0000", 1]}
# ///
print(7)@NUL@
