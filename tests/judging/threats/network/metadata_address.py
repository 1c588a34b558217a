# /// judge
# about = "metadata address"
# tests = [["", "contained"]]
# ///
import os
import urllib.request
try:
    urllib.request.urlopen('http://169.254.169.254/', timeout=1)
except OSError: print('contained')
else: print(1)
