# /// judge
# about = "a message full of escapes must not reach a person's terminal; the verdict is the test's, the message printable"
# verdicts = ["RE"]
# ///
import sys
sys.exit('\x1b]0;title\x07\x1b[2J\u202e')
