# /// judge
# about = "system calls by the convention of i386, whose numbers mean something else"
# verdicts = ["RE", "SV"]
# machine = "x86_64"
# ///
import ctypes
import mmap

# mov eax, 20 (getpid of i386); int 0x80; ret
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
ctypes.CFUNCTYPE(ctypes.c_int)(address)()
print(7)
