# /// judge
# about = "every test starts from nothing"
# tests = [["", "0 1"], ["", "0 1"], ["", "0 1"], ["", "0 1"]]
# ///
import builtins, collections, sys
seen = getattr(builtins, 'seen', 0) + collections.__dict__.get('seen', 0)
builtins.seen = collections.seen = 1
print(seen, len(sys.argv))
