# /// judge
# about = "the same order of sets every time"
# tests = [["", "True True"]]
# ///
print(hash('a') == hash('a'), list({'a', 'b', 'c', 'd'}) == list({'d', 'c', 'b', 'a'}))
