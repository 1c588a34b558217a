# /// judge
# about = "nothing expected, nothing printed"
# tests = [["", ""]]
# ///
pass
