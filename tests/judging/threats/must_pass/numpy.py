# /// judge
# about = "numpy when it is allowed"
# tests = [["", "10 1.0"]]
# packages = ["numpy"]
# limits = {cpu_secs = 4.0}
# ///
import numpy as np
print(int(np.arange(5).sum()), np.linalg.det(np.eye(3)))
