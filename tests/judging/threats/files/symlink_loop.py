# /// judge
# about = "a loop of links and a directory that links to itself: the judge does not follow them"
# ///
import os
os.symlink('b', 'a')
os.symlink('a', 'b')
os.mkdir('d')
os.symlink('..', 'd/up')
os.symlink('/tmp', 'tmp')
print(7)
