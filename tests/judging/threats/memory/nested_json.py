# /// judge
# about = "JSON so deep that reading it recurses in C"
# verdicts = ["RE", "MLE"]
# limits = {cpu_secs = 1.0}
# ///
import json
json.loads('[' * 10**6)
