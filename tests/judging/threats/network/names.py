# /// judge
# about = "names and services"
# tests = [["", "contained"]]
# ///
import os
import http.client, smtplib, socket, urllib.request
attempts = [
    ("lookup", lambda: socket.getaddrinfo('example.com', 80)),
    ("localhost by name", lambda: socket.create_connection(('localhost', @TCP_PORT@), timeout=1)),
    ("http", lambda: http.client.HTTPConnection('127.0.0.1', @TCP_PORT@, timeout=1).request('GET', '/')),
    ("metadata", lambda: urllib.request.urlopen('http://169.254.169.254/latest/meta-data/', timeout=1)),
    ("metadata 6", lambda: urllib.request.urlopen('http://[fd00:ec2::254]/', timeout=1)),
    ("google", lambda: urllib.request.urlopen('http://metadata.google.internal/', timeout=1)),
]
reached = []
for name, attempt in attempts:
    try:
        attempt()
    except (OSError, ValueError, AttributeError):
        continue
    reached.append(name)
print(reached or 'contained')
