# /// judge
# about = "subprocess"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import subprocess
subprocess.run(['/bin/sh', '-c', 'sleep 60 &'])
