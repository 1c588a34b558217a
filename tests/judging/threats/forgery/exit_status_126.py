# /// judge
# about = "the right answer with exit status 126, which looks like something else to shells"
# verdicts = ["RE"]
# ///
import os
print(7, flush=True)
os._exit(126)
