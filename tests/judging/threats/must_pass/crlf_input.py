# /// judge
# about = "CRLF input"
# tests = [["1 2\r\nx\r\n", "3\nx"]]
# ///
print(sum(map(int, input().split())))
print(input().strip())
