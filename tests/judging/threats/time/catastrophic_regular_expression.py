# /// judge
# about = "catastrophic regular expression"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import re
re.match('(a+)+$', 'a' * 40 + 'b')
