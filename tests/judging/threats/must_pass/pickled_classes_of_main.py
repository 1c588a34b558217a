# /// judge
# about = "pickled classes of __main__"
# tests = [["3 4\n", "7\n"]]
# ///
import dataclasses, pickle
@dataclasses.dataclass
class A:
    x: int
print(pickle.loads(pickle.dumps(A(7))).x)
