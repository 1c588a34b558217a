# /// judge
# about = "reads and writes the memory of the runner, the init and the judge"
# tests = [["", "contained"]]
# machine = "x86_64"
# ///
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
calls = {
    "ptrace attach init": (101, 16, 1, 0, 0),
    "ptrace seize init": (101, 0x4206, 1, 0, 0),
    "process_vm_readv init": (310, 1, vector, 1, vector, 1, 0),
    "process_vm_writev init": (311, 1, vector, 1, vector, 1, 0),
    "pidfd_open init": (434, 1, 0),
    "kcmp init": (312, 1, 1, 0, 0, 0),
    "process_madvise init": (440, 3, vector, 1, 4, 0),
    "move_pages init": (279, 1, 0, 0, 0, 0, 0),
    "migrate_pages init": (256, 1, 1, buffer, buffer),
    "pidfd_getfd init": (438, 3, 0, 0),
    "ptrace attach runner": (101, 16, 2, 0, 0),
    "ptrace seize runner": (101, 0x4206, 2, 0, 0),
    "process_vm_readv runner": (310, 2, vector, 1, vector, 1, 0),
    "process_vm_writev runner": (311, 2, vector, 1, vector, 1, 0),
    "pidfd_open runner": (434, 2, 0),
    "kcmp runner": (312, 2, 2, 0, 0, 0),
    "process_madvise runner": (440, 3, vector, 1, 4, 0),
    "move_pages runner": (279, 2, 0, 0, 0, 0, 0),
    "migrate_pages runner": (256, 2, 1, buffer, buffer),
    "pidfd_getfd runner": (438, 3, 0, 0),
    "ptrace attach judge": (101, 16, @PID@, 0, 0),
    "ptrace seize judge": (101, 0x4206, @PID@, 0, 0),
    "process_vm_readv judge": (310, @PID@, vector, 1, vector, 1, 0),
    "process_vm_writev judge": (311, @PID@, vector, 1, vector, 1, 0),
    "pidfd_open judge": (434, @PID@, 0),
    "kcmp judge": (312, @PID@, @PID@, 0, 0, 0),
    "process_madvise judge": (440, 3, vector, 1, 4, 0),
    "move_pages judge": (279, @PID@, 0, 0, 0, 0, 0),
    "migrate_pages judge": (256, @PID@, 1, buffer, buffer),
    "pidfd_getfd judge": (438, 3, 0, 0),
    "ptrace traceme": (101, 0, 0, 0, 0),
    "allow tracers": (157, 0x59616d61, -1, 0, 0, 0),
    "dumpable": (157, 4, 1, 0, 0, 0),
}
reached = []
for name, arguments in calls.items():
    answer = libc.syscall(*arguments)
    if answer != -1 or ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
        reached.append((name, answer, ctypes.get_errno()))
print(reached or 'contained')
