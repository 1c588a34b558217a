# /// judge
# about = "fills /tmp with many files: their sum is bounded, and the next program finds it empty"
# verdicts = ["RE", "OLE"]
# limits = {cpu_secs = 0.3}
# ///
for i in range(10**6):
    with open(f'/tmp/{i}', 'wb') as file:
        file.write(b'x' * (1 << 20))
