# /// judge
# about = "leaves links to files of the host and dies: nobody writes or deletes through them"
# ///
import os
os.symlink('@BAIT@/writable', 'solution.py')
os.symlink('@BAIT@', 'out')
os.symlink('/dev/zero', 'stdout')
print(7)
