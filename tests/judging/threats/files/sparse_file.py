# /// judge
# about = "sparse file"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
open('/tmp/sparse', 'wb').truncate(1 << 40)
