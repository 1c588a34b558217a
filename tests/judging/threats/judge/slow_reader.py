# /// judge
# about = "a child's pipe to the judge is filled, slowly, byte by byte: the judge waits and reads"
# ///
import os

for byte in b"7\n":
    os.write(1, bytes([byte]))
for _ in range(20_000):
    os.write(2, b"x")
