# /// judge
# about = "a file in /tmp is allowed and stays off the host's /tmp"
# ///
open('/tmp/@TOKEN@', 'w').write('x')
print(7)
