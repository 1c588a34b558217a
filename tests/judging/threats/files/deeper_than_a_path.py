# /// judge
# about = "directories so deep that no path names them"
# tests = [["", "7"], ["", "7"]]
# ///
import os
for _ in range(100):
    os.mkdir('x' * 200)
    os.chdir('x' * 200)
print(7)
