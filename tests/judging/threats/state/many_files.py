# /// judge
# about = "leaves a mark for the next test: two hundred files"
# tests = [["", "fresh"], ["", "fresh"], ["", "fresh"]]
# limits = {cpu_secs = 1.0}
# ///
import os
print('fresh' if not os.listdir('/tmp') else 'marked')
for i in range(200):
    open(f'/tmp/{i}', 'w').close()
