# /// judge
# about = "an exit status that is no number, or changes while looked at"
# verdicts = ["WA", "RE"]
# ///
class Status(int):
    def __and__(self, other):
        return 0
    __rand__ = __index__ = __int__ = lambda self, *_: 0
print(8)
raise SystemExit(Status(3))
