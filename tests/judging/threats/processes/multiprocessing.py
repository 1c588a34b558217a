# /// judge
# about = "multiprocessing"
# verdicts = ["RE"]
# limits = {cpu_secs = 0.3}
# ///
import multiprocessing
multiprocessing.get_context('fork').Process(target=print).start()
