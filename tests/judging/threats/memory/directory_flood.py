# /// judge
# about = "directories instead of files, one in another"
# verdicts = ["RE", "OLE"]
# limits = {cpu_secs = 1.0}
# ///
import os
while True:
    os.mkdir('d')
    os.chdir('d')
