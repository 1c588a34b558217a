# /// judge
# about = "os.read of the file size"
# tests = [["3 4\n", "7\n"]]
# ///
import io, os
read = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline
print(sum(map(int, read().split())))
