# /// judge
# about = "an expression so long that the compiler recurses"
# verdicts = ["RE", "CE"]
# limits = {cpu_secs = 0.3}
# repeat = {CHAIN = [".b", 100000]}
# ///
x = a@CHAIN@
