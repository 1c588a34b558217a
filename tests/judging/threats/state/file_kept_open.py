# /// judge
# about = "leaves a mark for the next test: a file without a name"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# limits = {cpu_secs = 1.0}
# ///
import os
print('fresh' if not os.listdir('/tmp') else 'marked')
fd = os.open('/tmp/x', os.O_CREAT | os.O_RDWR)
os.unlink('/tmp/x')
