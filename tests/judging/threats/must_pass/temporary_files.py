# /// judge
# about = "temporary files"
# tests = [["3 4\n", "7\n"]]
# ///
import tempfile
with tempfile.TemporaryFile('w+') as file:
    file.write('7')
    file.seek(0)
    print(file.read())
