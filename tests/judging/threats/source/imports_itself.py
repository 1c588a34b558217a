# /// judge
# about = "imports the module it is"
# verdicts = ["AC", "RE"]
# limits = {cpu_secs = 1.0}
# ///
import solution
print(7)
