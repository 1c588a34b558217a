# /// judge
# about = "reads the judge's environment"
# tests = [["", "None True False"]]
# ///
import os
print(os.environ.get('JUDGE_SECRET'), len(os.environ) < 9, 'judge-secret' in str(os.environ))
