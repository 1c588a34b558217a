# /// judge
# about = "stops as a terminal would stop it"
# verdicts = ["AC", "TLE"]
# limits = {wall_secs = 1.0}
# ///
import os, signal
signal.raise_signal(signal.SIGTSTP)
signal.raise_signal(signal.SIGTTIN)
print(7)
