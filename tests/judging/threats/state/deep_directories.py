# /// judge
# about = "leaves a mark for the next test: directories so deep that no path names them"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# limits = {cpu_secs = 1.0}
# ///
import os
print('fresh' if not os.listdir('/tmp') else 'marked')
for _ in range(60):
    os.mkdir('x' * 100)
    os.chdir('x' * 100)
