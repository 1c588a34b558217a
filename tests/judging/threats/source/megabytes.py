# /// judge
# about = "a source of a megabyte, whose compilation takes hundreds"
# verdicts = ["AC", "MLE", "SV", "CE"]
# limits = {cpu_secs = 0.3}
# repeat = {LINES = ["x = 1\n", 200000]}
# ///
@LINES@print(7)
