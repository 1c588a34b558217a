# /// judge
# about = "names that are no text, hold newlines or look like options"
# tests = [["", "7"], ["", "7"]]
# ///
import os
for name in (b'\xff\xfe', b'a\nb', b'-rf', b'$(reboot)', b'%s%n', b'x' * 255):
    open(name, 'w').close()
print(7)
