# /// judge
# about = "file flood"
# verdicts = ["OLE"]
# limits = {cpu_secs = 0.3}
# ///
i = 0
while True:
    i += 1
    open(f'/tmp/{i}', 'w').close()
