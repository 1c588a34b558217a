# /// judge
# about = "a status that pretends to be 0 cannot make a wrong answer right"
# verdicts = ["WA", "RE"]
# ///
import os
class Status(int):
    def __and__(self, other):
        return 0
raise SystemExit(Status(1))
