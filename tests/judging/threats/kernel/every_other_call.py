# /// judge
# about = "every call number that is not known to be harmless answers that it does not exist or is not allowed"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
# Later than Linux 5.10 and not needed: quotactl_fd .. and the years to come.
reached = []
for number in [*range(442, 449), *range(450, 600)]:
    answer = libc.syscall(number, -1, -1, -1, -1, -1, -1)
    if answer != -1 or ctypes.get_errno() not in (1, 38):
        reached.append((number, answer, ctypes.get_errno()))
print(reached or "contained")
