# /// judge
# about = "removes the directory it stands in, or makes it unreadable"
# tests = [["", "7"], ["", "7"]]
# ///
import os
os.mkdir('d')
os.chdir('d')
os.rmdir('../d')
os.chmod('/tmp', 0)
print(7)
