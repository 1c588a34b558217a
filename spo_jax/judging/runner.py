"""The trusted program inside the sandbox: compiles a submission once, then forks it per test.

Never imported by the judge: its text is handed to a bare interpreter (`python -s -S -c`). It uses
the standard library only and must run under any Python from 3.9 on.

It holds nothing worth stealing. Inputs and outputs travel over descriptors that the judge makes
for each test and that pass through here unread, so nothing of an earlier test lies in the memory a
fork inherits. The judge's socket is closed in the fork before the program's first line.

Messages on the socket (one datagram each, fields separated by blanks):
  judge:  job FN_NAME|- ADDRESS_SPACE FILE_BYTES NUM_FILES NUM_THREADS|0 COMPILE_SECS PLACEHOLDER
          with descriptors: source, and the program's system call filter if there is one, in which
          PLACEHOLDER stands for the process id
  runner: ready VERSION, then: compiled | error MESSAGE
  judge:  test CPU_SECS   with descriptors: input, stdout, stderr, and the result's in call style
  judge:  stop            ends the running test
  runner: done STATUS CPU_SECS PEAK_KIB STOPPED_BY|- IS_SET_UP IS_SPENT
"""

import _sitebuiltins
import _socket
import _thread
import atexit
import builtins
import contextlib
import ctypes
import gc
import io
import os
import resource
import select
import struct
import sys
import time

_CONTROL = 100  # the judge's socket; received descriptors take lower numbers
_RESULT = 3
_FILE_NAME = "solution.py"
_TMP = "/tmp"
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SIGKILL = 9
_POLL_SECS = 0.1
_THREAD_STACK_BYTES = (
    8 << 20
)  # the usual default, which the main thread's larger stack would change

# Imported before the fork when the program names them: they cost milliseconds in every test.
_WARM_MODULES = frozenset(
    """
    array bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions
    functools heapq itertools json math numbers operator queue random re statistics string
    threading types typing
    """.split()  # noqa: SIM905
)

_libc = ctypes.CDLL(None, use_errno=True)
_ulong = ctypes.c_ulong
_libc.prctl.argtypes = (ctypes.c_int, _ulong, ctypes.c_void_p, _ulong, _ulong)


class Job:
    """What does not change between the tests of a submission."""

    def __init__(self, fields, descriptors):
        self.fn_name = None if fields[0] == "-" else fields[0]
        numbers = [int(float(field)) for field in fields[1:]]
        self.address_space, self.file_bytes, self.num_files, self.num_threads = numbers[:4]
        self.compile_secs, self.pid_placeholder = numbers[4:]
        self.source = read_all(descriptors[0])
        self.filter = read_all(descriptors[1]) if len(descriptors) > 1 else b""


def main():
    control_number, owns_pid_namespace = int(sys.argv[1]), sys.argv[2] == "1"
    os.dup2(control_number, _CONTROL)
    os.closerange(3, _CONTROL)
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, _CONTROL)
    prctl(_PR_SET_DUMPABLE, 0)  # no ptrace, no /proc/<pid>/mem
    _thread.stack_size(_THREAD_STACK_BYTES)
    add_site_builtins()
    control.send(b"ready %d.%d.%d" % sys.version_info[:3])
    fields, descriptors = receive(control)
    job = Job(fields[1:], descriptors)
    try:
        code = compile_source(job)
    except Exception as error:  # SyntaxError, ValueError, MemoryError, RecursionError, ...
        control.send(("error " + describe(error)).encode("utf-8", "replace")[:4000])
        return
    warm_up(code, job)
    if owns_pid_namespace and os.getpid() != 2:
        raise RuntimeError("not alone in a process namespace")  # kill(-1) would reach others
    pristine = fingerprint(_TMP) if owns_pid_namespace else None
    control.send(b"compiled")
    while True:
        fields, descriptors = receive(control)
        if not fields:
            return
        if fields[0] != "test":
            continue  # a 'stop' that crossed the end of its test
        run_test(control, job, code, float(fields[1]), descriptors, pristine)


def receive(control):
    """Returns (fields, descriptors) of the next message; no fields when the judge is gone."""
    data, ancillary, _, _ = control.recvmsg(4096, _socket.CMSG_SPACE(4 * 4))
    descriptors: list = []
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            descriptors += struct.unpack(f"{len(content) // 4}i", content)
    return data.decode().split(" ") if data else [], descriptors


def read_all(descriptor):
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def prctl(option, argument, pointer=None):
    if _libc.prctl(option, argument, pointer, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def add_site_builtins():
    """What module `site`, which -S leaves out, would have added."""
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()
    sys.path[:] = [path for path in sys.path if path]


def compile_source(job):
    """Compiles under soft limits: a source that exhausts them ends this process, which is CE."""
    soft_cpu = int(time.process_time()) + job.compile_secs + 1
    hard_cpu = resource.getrlimit(resource.RLIMIT_CPU)[1]
    hard_space = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft_cpu, hard_cpu))
    resource.setrlimit(resource.RLIMIT_AS, (job.address_space, hard_space))
    code = compile(job.source, _FILE_NAME, "exec", dont_inherit=True)
    resource.setrlimit(resource.RLIMIT_CPU, (hard_cpu, hard_cpu))
    resource.setrlimit(resource.RLIMIT_AS, (hard_space, hard_space))
    return code


def warm_up(code, job):
    wanted = _WARM_MODULES.intersection(code.co_names)
    for name in sorted(wanted | ({"json"} if job.fn_name else set())):
        __import__(name)
    gc.collect()
    gc.freeze()


def describe(error):
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    return f"{type(error).__name__}: {error}"


def fingerprint(directory):
    """Changes with any change of the directory: the kernel alone sets its ctime."""
    return os.stat(directory).st_ctime_ns


def run_test(control, job, code, cpu_secs, descriptors, pristine):
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        run_program(job, code, cpu_secs, descriptors, ready_write)
    for descriptor in (*descriptors, ready_write):
        os.close(descriptor)
    stopped_by = watch(control, job, pid, cpu_secs, pristine is not None)
    _, status, usage = os.wait4(pid, 0)
    is_spent = False
    if pristine is None:
        end_group(pid)
    else:
        end_survivors()
        is_spent = fingerprint(_TMP) != pristine
    is_set_up = os.read(ready_read, 1) == b"1"
    os.close(ready_read)
    used = usage.ru_utime + usage.ru_stime
    fields = (status, used, usage.ru_maxrss, stopped_by or "-", int(is_set_up), int(is_spent))
    control.send(b"done " + " ".join(str(field) for field in fields).encode())


def watch(control, job, pid, cpu_secs, counts_files):
    """Waits for the end of `pid` and enforces the limits that rlimits cannot."""
    clock = (~pid << 3) | 2  # CPUCLOCK_SCHED of the process
    num_cpus = len(os.sched_getaffinity(0))
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(_CONTROL, select.POLLIN)
    stopped_by = ""
    while True:
        remaining = cpu_secs - time.clock_gettime(clock)
        events = dict(poll.poll(1000 * max(0.001, min(_POLL_SECS, remaining / num_cpus))))
        if handle in events:
            os.close(handle)
            return stopped_by
        if _CONTROL in events:
            fields, _ = receive(control)
            if not fields:
                os._exit(1)  # the judge is gone
            os.kill(pid, _SIGKILL)
        elif not stopped_by and remaining <= 0:
            stopped_by = "cpu"
            os.kill(pid, _SIGKILL)
        elif not stopped_by and counts_files and num_files(_TMP) > job.num_files:
            stopped_by = "files"
            os.kill(pid, _SIGKILL)


def num_files(directory):
    status = os.statvfs(directory)
    return status.f_files - status.f_ffree - 1


def end_survivors():
    """Ends every process but this one and the namespace's init, and waits until they are gone."""
    while True:
        try:
            os.kill(-1, _SIGKILL)
        except ProcessLookupError:
            return
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            time.sleep(0.0005)


def end_group(leader):
    """Without a process namespace: ends what is left of the program's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, _SIGKILL)


def run_program(job, code, cpu_secs, descriptors, ready):
    """In the fork: gives up every privilege, then becomes the program. Never returns."""
    try:
        os.setsid()
        arguments = None
        if job.fn_name:
            import json

            arguments = json.loads(read_all(os.dup(descriptors[0])))
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        else:
            os.dup2(descriptors[0], 0)
        os.dup2(descriptors[1], 1)
        os.dup2(descriptors[2], 2)
        if job.fn_name:
            os.dup2(descriptors[3], _RESULT)
        first_closed = _RESULT + 1 if job.fn_name else 3
        os.closerange(first_closed, ready)
        os.closerange(ready + 1, 4096)
        open_standard_streams()
        give_up(job, cpu_secs)
        os.write(ready, b"1")
        os.close(ready)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(finish(execute(job, code, arguments)))


def open_standard_streams():
    sys.stdin = open_stream(0, "stdin", "surrogateescape")
    sys.stdout = open_stream(1, "stdout", "surrogateescape")
    sys.stderr = open_stream(2, "stderr", "backslashreplace")
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def open_stream(number, name, errors):
    """As the interpreter does at its start."""
    raw = io.FileIO(number, "rb" if number == 0 else "wb", closefd=False)
    raw.name = f"<{name}>"
    binary = io.BufferedReader(raw, 1 << 16) if number == 0 else io.BufferedWriter(raw, 1 << 16)
    return io.TextIOWrapper(binary, "utf-8", errors, newline="\n", line_buffering=number == 2)


def give_up(job, cpu_secs):
    limits = [
        (resource.RLIMIT_CPU, int(cpu_secs) + 2),
        (resource.RLIMIT_AS, job.address_space),
        (resource.RLIMIT_FSIZE, job.file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, resource.getrlimit(resource.RLIMIT_STACK)[0]),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if job.num_threads:
        limits.append((resource.RLIMIT_NPROC, job.num_threads + 2))  # init and runner count too
    for limit, value in limits:
        resource.setrlimit(limit, (value, value))
    prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if job.filter:
        placeholder = struct.pack("<I", job.pid_placeholder)
        program = job.filter.replace(placeholder, struct.pack("<I", os.getpid()))
        instructions = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
        prctl(_PR_SET_SECCOMP, 2, header)


def execute(job, code, arguments):
    """Runs the program; returns its exit status."""
    module = type(sys)("solution" if job.fn_name else "__main__")
    module.__file__ = _FILE_NAME
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = sys.modules[module.__name__] = module
    sys.argv = [_FILE_NAME]
    try:
        exec(code, module.__dict__)
        if job.fn_name:
            send_result(find_function(module.__dict__, job.fn_name)(*arguments))
    except SystemExit as error:
        return exit_status(error.code)
    except BaseException as error:
        own_frame = error.__traceback__
        sys.excepthook(type(error), error, own_frame and own_frame.tb_next)
        return 1
    return 0


def find_function(namespace, name):
    if callable(namespace.get(name)):
        return namespace[name]
    if "Solution" in namespace:
        return getattr(namespace["Solution"](), name)
    raise NameError(f"the program defines no function {name!r}")


def send_result(value):
    import json

    text = json.dumps(value).encode()
    while text:
        text = text[os.write(_RESULT, text) :]
    os.close(_RESULT)


def exit_status(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def finish(status):
    """What the interpreter does at exit: threads, exit functions, buffers."""
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    try:
        sys.stdout.flush()
    except Exception:
        return 120  # as CPython does
    return status


if __name__ == "__main__":
    main()
