# /// judge
# about = "unwinds into its runner by an exception nobody expects"
# verdicts = ["RE"]
# ///
import sys


class Escape(BaseException):
    def __str__(self):
        raise Escape
    __repr__ = __str__


sys.excepthook = lambda *_: (_ for _ in ()).throw(Escape)
raise Escape
