# /// judge
# about = "bytes that are no text"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
import os
os.write(1, b'\xff\xfe7')
