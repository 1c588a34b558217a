# /// judge
# about = "megabytes of output"
# tests = [["", "@TEN@"]]
# repeat = {TEN = ["0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", 50000]}
# ///
for i in range(500_000): print(i % 10)
