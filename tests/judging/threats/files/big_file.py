# /// judge
# about = "big file"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
with open('/tmp/big', 'wb') as file:
    while True: file.write(b'x' * (1 << 20))
