"""Numbers of the system calls a judged program, or its runner, may make.

Source: the kernel's `asm/unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64). A call that
is not here does not exist for a judged program (ENOSYS), so that the C library falls back.
"""

import platform

# name, x86_64 number, aarch64 number; '-' where the architecture lacks the call.
_TABLE = """
read 0 63 | write 1 64 | open 2 - | close 3 57 | stat 4 - | fstat 5 80 | lstat 6 - | poll 7 - |
lseek 8 62 | mmap 9 222 | mprotect 10 226 | munmap 11 215 | brk 12 214 | rt_sigaction 13 134 |
rt_sigprocmask 14 135 | rt_sigreturn 15 139 | ioctl 16 29 | pread64 17 67 | pwrite64 18 68 |
readv 19 65 | writev 20 66 | preadv 295 69 | pwritev 296 70 | preadv2 327 286 | pwritev2 328 287 |
access 21 - | pipe 22 - | pipe2 293 59 | select 23 - | pselect6 270 72 | ppoll 271 73 |
sched_yield 24 124 | mremap 25 216 | msync 26 227 | mincore 27 232 | madvise 28 233 | dup 32 23 |
dup2 33 - | dup3 292 24 | pause 34 - | nanosleep 35 101 | getitimer 36 102 | alarm 37 - |
setitimer 38 103 | timer_create 222 107 | timer_settime 223 110 | timer_gettime 224 108 |
timer_getoverrun 225 109 | timer_delete 226 111 | timerfd_create 283 85 | timerfd_settime 286 86 |
timerfd_gettime 287 87 | getpid 39 172 | sendfile 40 71 | socketpair 53 199 | socket 41 198 |
connect 42 203 | accept 43 202 | accept4 288 242 | sendto 44 206 | recvfrom 45 207 |
sendmsg 46 211 | recvmsg 47 212 | sendmmsg 307 269 | recvmmsg 299 243 | shutdown 48 210 |
bind 49 200 | listen 50 201 | getsockname 51 204 | getpeername 52 205 | setsockopt 54 208 |
getsockopt 55 209 | clone 56 220 | exit 60 93 | exit_group 231 94 | wait4 61 260 | waitid 247 95 |
kill 62 129 | tgkill 234 131 | uname 63 160 | fcntl 72 25 | flock 73 32 | fsync 74 82 |
fdatasync 75 83 | truncate 76 45 | ftruncate 77 46 | fallocate 285 47 | getdents 78 - |
getdents64 217 61 | getcwd 79 17 | chdir 80 49 | fchdir 81 50 | rename 82 - | renameat 264 38 |
renameat2 316 276 | mkdir 83 - | mkdirat 258 34 | rmdir 84 - | creat 85 - | link 86 - |
linkat 265 37 | unlink 87 - | unlinkat 263 35 | symlink 88 - | symlinkat 266 36 | readlink 89 - |
readlinkat 267 78 | chmod 90 - | fchmod 91 52 | fchmodat 268 53 | utime 132 - | utimes 235 - |
utimensat 280 88 | futimesat 261 - | umask 95 166 | gettimeofday 96 169 | getrlimit 97 163 |
setrlimit 160 164 | prlimit64 302 261 | getrusage 98 165 | sysinfo 99 179 | times 100 153 |
getuid 102 174 | getgid 104 176 | geteuid 107 175 | getegid 108 177 | getresuid 118 148 |
getresgid 120 150 | getgroups 115 158 | getppid 110 173 | getpgrp 111 - | getpgid 121 155 |
getsid 124 156 | rt_sigpending 127 136 | rt_sigtimedwait 128 137 | rt_sigsuspend 130 133 |
sigaltstack 131 132 | statfs 137 43 | fstatfs 138 44 | getpriority 140 141 |
sched_getparam 143 121 | sched_getscheduler 145 120 | sched_get_priority_max 146 125 |
sched_get_priority_min 147 126 | sched_getaffinity 204 123 | mlock 149 228 | munlock 150 229 |
prctl 157 167 | arch_prctl 158 - | gettid 186 178 | time 201 - | futex 202 98 |
set_tid_address 218 96 | get_robust_list 274 100 | set_robust_list 273 99 | fadvise64 221 223 |
clock_gettime 228 113 | clock_getres 229 114 | clock_nanosleep 230 115 | epoll_create 213 - |
epoll_create1 291 20 | epoll_ctl 233 21 | epoll_wait 232 - | epoll_pwait 281 22 |
epoll_pwait2 441 441 | openat 257 56 | openat2 437 437 | newfstatat 262 79 | faccessat 269 48 |
faccessat2 439 439 | statx 332 291 | eventfd 284 - | eventfd2 290 19 | signalfd 282 - |
signalfd4 289 74 | inotify_init1 294 26 | getcpu 309 168 | getrandom 318 278 |
membarrier 324 283 | rseq 334 293 | copy_file_range 326 285 | splice 275 76 | tee 276 77 |
close_range 436 436 | restart_syscall 219 128 | futex_waitv 449 449 | fork 57 - | vfork 58 - |
execve 59 221 | execveat 322 281 | seccomp 317 277 | pidfd_open 434 434 |
setsid 112 157 | setpgid 109 154
"""

# What the runner needs beyond a program: to start programs, to end them, to watch them.
RUNNER_ONLY = frozenset(
    {"fork", "vfork", "execve", "execveat", "pidfd_open", "setsid", "setpgid", "seccomp"}
)
AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMNS = {"x86_64": 1, "aarch64": 2}


def syscall_numbers(machine: str | None = None) -> dict[str, int] | None:
    """Returns {name: number} for `machine` (default: this one), or None when it is not known."""
    column = _COLUMNS.get(machine or platform.machine())
    if column is None:
        return None
    rows = (entry.split() for entry in _TABLE.replace("\n", " ").split("|"))
    return {row[0]: int(row[column]) for row in rows if row and row[column] != "-"}
