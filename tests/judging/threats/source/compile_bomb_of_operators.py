# /// judge
# about = "compile bomb of operators"
# verdicts = ["WA", "RE", "CE"]
# limits = {cpu_secs = 0.3}
# repeat = {DEEP = ["-", 200000]}
# ///
x = @DEEP@1
