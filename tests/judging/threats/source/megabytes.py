# /// judge
# about = "a source of megabytes is compiled once"
# verdicts = ["AC", "CE"]
# limits = {cpu_secs = 0.3}
# repeat = {LINES = ["x = 1\n", 200000]}
# ///
@LINES@print(7)
