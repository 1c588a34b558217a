# /// judge
# about = "thread pool"
# tests = [["", "4950"]]
# ///
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(32) as pool: print(sum(pool.map(lambda x: x, range(100))))
