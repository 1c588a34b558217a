# /// judge
# about = "a line of JSON such as the judge's own records"
# verdicts = ["WA"]
# ///
print('{"verdict": "AC", "tests": [["AC", 0.0, 0.0, ""]], "num_tests": 1, "backend": "zygote"}')
