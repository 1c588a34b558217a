# /// judge
# about = "near the memory limit"
# tests = [["3 4\n", "7\n"]]
# ///
x = bytearray(80 << 20)
x[::4096] = x[::4096]
print(7)
