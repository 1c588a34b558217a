# /// judge
# about = "mounts by the old and the new calls, and other roots"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
calls = {
    "mount": (165, b'x', b'/tmp', b'tmpfs', 0, 0),
    "remount": (165, 0, b'/', 0, 0x20 | 0x1000, 0),
    "umount": (166, b'/tmp', 2),
    "pivot_root": (155, b'/tmp', b'/tmp'),
    "chroot": (161, b'/tmp'),
    "open_tree": (428, -100, b'/', 1),
    "move_mount": (429, 0, b'', 0, b'/', 4),
    "fsopen": (430, b'tmpfs', 0),
    "fsconfig": (431, 0, 6, 0, 0, 0),
    "fsmount": (432, 0, 0, 0),
    "fspick": (433, -100, b'/', 0),
    "mount_setattr": (442, -100, b'/', 0, buffer, 32),
    "swapon": (167, b'/tmp/x', 0),
    "quotactl": (179, 0, 0, 0, 0),
    "statmount": (457, buffer, buffer, 512, 0),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
