# /// judge
# about = "leaves a mark for the next test: directories without any permission in one another"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# limits = {cpu_secs = 1.0}
# ///
import os
print('fresh' if not os.listdir('/tmp') else 'marked')
os.makedirs('/tmp/a/b/c')
for path in ('/tmp/a/b/c', '/tmp/a/b', '/tmp/a', '/tmp'):
    os.chmod(path, 0)
