# /// judge
# about = "system calls by the convention of x32: numbers with one more bit"
# verdicts = ["SV"]
# machine = "x86_64"
# ///
import ctypes
ctypes.CDLL(None).syscall(0x40000000 | 39)
print(7)
