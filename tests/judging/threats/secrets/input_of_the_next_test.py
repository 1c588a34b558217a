# /// judge
# about = "reads beyond the end of its input"
# tests = [["first", "5"], ["second test", "11"]]
# ///
import os

data = os.read(0, 1 << 20)
for offset in (len(data), 4096, 1 << 20):
    data += os.pread(0, 4096, offset)
print(len(data))
