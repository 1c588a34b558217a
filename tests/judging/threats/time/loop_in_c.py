# /// judge
# about = "one call into C that never comes back and looks at no signal"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import itertools
sum(itertools.repeat(0))
