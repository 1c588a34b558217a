"""The filters are run by a small interpreter of classic BPF: every architecture, on any machine."""

import errno
import struct

import pytest

from spo_jax.judging.seccomp import PID_PLACEHOLDER, program_filter, runner_filter
from spo_jax.judging.syscalls import AUDIT_ARCHITECTURES, syscall_numbers

ALLOW, KILL = "allow", "kill"
MACHINES = ("x86_64", "aarch64")


def decide(program: bytes, number: int, architecture: int, arguments=()) -> str | int:
    """Returns 'allow', 'kill', or the errno that the filter answers with."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, architecture, 0, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    position, accumulator = 0, 0
    while True:
        opcode, if_true, if_false, operand = code[position]
        position += 1
        if opcode == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif opcode == 0x05:
            position += operand
        elif opcode == 0x06:
            kinds = {0x7FFF0000: ALLOW, 0x80000000: KILL}
            return kinds.get(operand) or operand & 0xFFFF
        else:
            matches = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[opcode]
            position += if_true if matches else if_false


class Filtered:
    def __init__(self, make_filter, machine):
        self.numbers = syscall_numbers(machine)
        self.architecture = AUDIT_ARCHITECTURES[machine]
        self.program = make_filter(machine)

    def __call__(self, name: str, *arguments: int) -> str | int:
        return decide(self.program, self.numbers[name], self.architecture, arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_program_may_make_threads_but_no_processes(machine):
    filtered = Filtered(program_filter, machine)
    assert filtered("clone", 0x3D0F00) == ALLOW  # what pthread_create passes
    assert filtered("clone", 0x1200011) == errno.EPERM  # what fork passes
    assert filtered("execve") == errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_program_acts_on_itself_only(machine):
    filtered = Filtered(program_filter, machine)
    for name in ("kill", "tgkill", "prlimit64"):
        assert filtered(name, PID_PLACEHOLDER) == ALLOW
        assert filtered(name, 2) == errno.EPERM
        assert filtered(name, 0xFFFFFFFF) == errno.EPERM  # -1: everybody


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("make_filter", [program_filter, runner_filter])
def test_only_unix_sockets(machine, make_filter):
    filtered = Filtered(make_filter, machine)
    assert filtered("socket", 1) == ALLOW
    for family in (2, 10, 16, 17, 38, 40):
        assert filtered("socket", family) == errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_every_listed_call_decides_as_listed(machine):
    filtered = Filtered(program_filter, machine)
    for name in ("read", "write", "mmap", "futex", "openat", "exit_group", "getrandom"):
        assert filtered(name) == ALLOW
    allowed = {number for number in range(600) if _allows(filtered, number)}
    assert allowed <= set(filtered.numbers.values())


def _allows(filtered, number):
    return decide(filtered.program, number, filtered.architecture) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("make_filter", [program_filter, runner_filter])
def test_dangerous_calls_do_not_exist(machine, make_filter):
    # Numbers of x86_64 and aarch64: ptrace, process_vm_readv, io_uring_setup, bpf, keyctl,
    # userfaultfd, perf_event_open, unshare, setns, mount, memfd_create, clone3.
    numbers = {
        "x86_64": (101, 310, 425, 321, 250, 323, 298, 272, 308, 165, 319, 435),
        "aarch64": (117, 270, 425, 280, 219, 282, 241, 97, 268, 40, 279, 435),
    }[machine]
    filtered = Filtered(make_filter, machine)
    for number in numbers:
        assert decide(filtered.program, number, filtered.architecture) == errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_foreign_calling_conventions_are_killed(machine):
    filtered = Filtered(program_filter, machine)
    assert decide(filtered.program, 1, 0x40000003) == KILL  # i386
    if machine == "x86_64":
        assert decide(filtered.program, 0x40000001, filtered.architecture) == KILL  # x32


@pytest.mark.parametrize("machine", MACHINES)
def test_runner_may_fork_but_not_into_new_namespaces(machine):
    filtered = Filtered(runner_filter, machine)
    assert filtered("clone", 0x1200011) == ALLOW
    assert filtered("clone", 0x10000000 | 17) == errno.EPERM  # CLONE_NEWUSER


def test_unknown_machine_has_no_filter():
    assert program_filter("riscv64") is None
    assert runner_filter("riscv64") is None
