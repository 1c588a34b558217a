# /// judge
# about = "a destructor that runs at the end and does not end: what was to be printed has been, or it is stopped"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
class Stay:
    def __del__(self):
        while True:
            pass
x = Stay()
del x
print(7)
