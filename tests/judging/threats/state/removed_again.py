# /// judge
# about = "leaves a mark for the next test: removed again"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# ///
import os
status = os.stat('/tmp')
fresh = status.st_mtime > 1e9 and status.st_mode & 0o777 != 0o711
print('fresh' if fresh and not os.listdir('/tmp') else 'marked')
open('/tmp/mark', 'x').close()
os.remove('/tmp/mark')
