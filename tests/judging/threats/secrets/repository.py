# /// judge
# about = "the judge's own files and hidden tests are out of reach"
# tests = [["", "False"]]
# ///
import os
print(any(map(os.path.exists, ('@REPO@', '@REPO@/pyproject.toml', '@BAIT@', '@BAIT@/secret'))))
