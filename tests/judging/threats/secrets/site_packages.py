# /// judge
# about = "packages installed for the judge are not there unless allowed"
# verdicts = ["RE"]
# ///
import numpy
