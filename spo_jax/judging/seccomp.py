"""System call filters as classic BPF programs, built without libseccomp.

Two filters lie over each other inside a sandbox. The outer one (`runner_filter`, loaded by
bubblewrap) allows what the trusted runner needs. The inner one (`program_filter`, loaded by each
program's process before its first line runs) allows threads but no processes, signals and limits
for itself only, and no sockets but Unix ones. Calls not listed answer ENOSYS.

Layout: architecture check, then a binary search over the call's number. A leaf either returns or
looks at the low 32 bits of one argument; the kernel reads no more of the arguments tested here.
"""

import dataclasses
import errno
import platform
import struct

from spo_jax.judging.syscalls import AUDIT_ARCHITECTURES, RUNNER_ONLY, syscall_numbers

# In a program filter this number stands for the process id, which is known after the fork only.
PID_PLACEHOLDER = 0x7FFFFF42
# The compiled program's own descriptor. Above the limit on descriptors, so it is the only one ever.
BINARY_DESCRIPTOR = 200

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
_LOAD, _JUMP, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_X32_CALLS = 0x40000000  # the x32 ABI of x86_64 would go round the numbers below

_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020080
_AF_UNIX = 1
# Whoever may write to a file may set its times to now, those of the host's /dev/null too: a mark
# that programs judged later could read.
_SET_TIMES = frozenset({"utime", "utimes", "utimensat", "futimesat"})
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_SIGNAL_OWNER_IOCTL = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
_SIGNAL_OWNER_FCNTL = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
_PRCTL_ALLOWED = (1, 3, 15, 16, 0x53564D41)  # PDEATHSIG, GET_DUMPABLE, SET_NAME, GET_NAME, SET_VMA


@dataclasses.dataclass(frozen=True, slots=True)
class _Check:
    """A leaf: the action when argument `index` matches, and the action when it does not.

    `values` match by equality; `bits` matches when any of them is set in the argument.
    """

    index: int
    values: tuple[int, ...] = ()
    bits: int = 0
    matched: int = _ALLOW
    otherwise: int = _ERRNO | errno.EPERM


_Action = int | _Check


def program_filter(machine: str | None = None, *, starts_binary: bool = False) -> bytes | None:
    """The filter of a judged program, or None where the machine's call numbers are not known.

    With `starts_binary` the filter is loaded before an execve of `BINARY_DESCRIPTOR`. An execve
    makes no process and keeps filter and limits, so it need not be the last one.
    """
    numbers = syscall_numbers(machine)
    if numbers is None:
        return None
    refused = _ERRNO | errno.EPERM
    own_process = (0, PID_PLACEHOLDER)
    actions: dict[str, _Action] = {name: _ALLOW for name in numbers if name not in RUNNER_ONLY}
    actions |= dict.fromkeys(RUNNER_ONLY & numbers.keys(), refused)
    actions |= {
        "clone": _Check(0, bits=_CLONE_THREAD),
        "socket": _Check(0, values=(_AF_UNIX,)),
        "socketpair": _Check(0, values=(_AF_UNIX,)),
        "kill": _Check(0, values=own_process),
        "tgkill": _Check(0, values=own_process),
        "prlimit64": _Check(0, values=own_process),
        "prctl": _Check(0, values=_PRCTL_ALLOWED),
        **dict.fromkeys(_SET_TIMES & numbers.keys(), refused),
        "ioctl": _Check(1, _TERMINAL_INPUT + _SIGNAL_OWNER_IOCTL, 0, refused, _ALLOW),
        "fcntl": _Check(1, _SIGNAL_OWNER_FCNTL, 0, refused, _ALLOW),
    }
    if starts_binary:
        actions["execveat"] = _Check(0, values=(BINARY_DESCRIPTOR,))
    return _assemble({numbers[name]: action for name, action in actions.items()}, machine)


def runner_filter(machine: str | None = None) -> bytes | None:
    """The filter over the whole sandbox, the trusted runner included; None as above."""
    numbers = syscall_numbers(machine)
    if numbers is None:
        return None
    refused = _ERRNO | errno.EPERM
    actions: dict[str, _Action] = dict.fromkeys(numbers, _ALLOW)
    actions |= {
        "clone": _Check(0, (), _CLONE_NAMESPACES, refused, _ALLOW),
        "socket": _Check(0, values=(_AF_UNIX,)),
        "socketpair": _Check(0, values=(_AF_UNIX,)),
        "ioctl": _Check(1, _TERMINAL_INPUT, 0, refused, _ALLOW),
    }
    return _assemble({numbers[name]: action for name, action in actions.items()}, machine)


def _assemble(actions: dict[int, _Action], machine: str | None) -> bytes:
    machine = machine or platform.machine()
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_EQUAL, 1, 0, AUDIT_ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        instructions += [(_AT_LEAST, 0, 1, _X32_CALLS), (_RETURN, 0, 0, _KILL_PROCESS)]
    instructions += _search(_segments(actions))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


def _segments(actions: dict[int, _Action]) -> list[tuple[int, _Action]]:
    """(first number, action) in rising order; neighbours with the same action are one segment."""
    unlisted: _Action = _ERRNO | errno.ENOSYS
    segments: list[tuple[int, _Action]] = []
    for number in range(max(actions) + 2):
        action = actions.get(number, unlisted)
        if not segments or segments[-1][1] != action:
            segments.append((number, action))
    return segments


def _search(segments: list[tuple[int, _Action]]) -> list[tuple[int, int, int, int]]:
    if len(segments) == 1:
        return _leaf(segments[0][1])
    middle = len(segments) // 2
    below, above = _search(segments[:middle]), _search(segments[middle:])
    return [(_AT_LEAST, 0, 1, segments[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]


def _leaf(action: _Action) -> list[tuple[int, int, int, int]]:
    if isinstance(action, int):
        return [(_RETURN, 0, 0, action)]
    instructions = [(_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * action.index)]
    tests = [(_EQUAL, value) for value in action.values]
    tests += [(_ANY_BIT, action.bits)] if action.bits else []
    for opcode, operand in tests:
        instructions += [(opcode, 0, 1, operand), (_RETURN, 0, 0, action.matched)]
    return [*instructions, (_RETURN, 0, 0, action.otherwise)]
