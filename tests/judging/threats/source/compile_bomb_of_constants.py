# /// judge
# about = "compile bomb of constants"
# verdicts = ["RE", "CE"]
# limits = {cpu_secs = 0.3}
# ///
x = ((1 << 128) ** 64) * 'a'
