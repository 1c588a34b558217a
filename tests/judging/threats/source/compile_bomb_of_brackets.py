# /// judge
# about = "compile bomb of brackets"
# verdicts = ["CE"]
# limits = {cpu_secs = 0.3}
# repeat = {DEEP = ["(", 100000]}
# ///
@DEEP@
