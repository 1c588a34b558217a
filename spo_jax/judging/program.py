"""What happens in the process of one test, up to and including the judged program.

Never imported by the judge: its text goes into the sandbox, there under any Python from 3.9 on.
The backend `zygote` calls `run_program` in a fork of the submission's process; `exec` starts a
fresh interpreter on `main`, or a compiled binary, in that fork.
"""

import _sitebuiltins
import _thread
import atexit
import builtins
import contextlib
import ctypes
import io
import os
import resource
import struct
import sys

RESULT = 3  # of a call-style test: where its value is written
_SOURCE, _FILTER, _READY = 4, 5, 6  # descriptors of a fresh interpreter
_BINARY = 200  # as in seccomp.BINARY_DESCRIPTOR
_FILE_NAME = "solution.py"
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_AT_EMPTY_PATH = 0x1000
_EXECVEAT = {"x86_64": 322, "aarch64": 281}
_NUM_DESCRIPTORS = 64
_THREAD_STACK_BYTES = 8 << 20  # the usual default, which the main thread's stack would change

_libc = ctypes.CDLL(None, use_errno=True)
_ulong = ctypes.c_ulong
_libc.prctl.argtypes = (ctypes.c_int, _ulong, ctypes.c_void_p, _ulong, _ulong)


class Job:
    """What does not change between the tests of a submission. `fields` are those of the message."""

    interpreter_command: tuple = ()  # starts a fresh interpreter on `main`

    def __init__(self, fields, source, program_filter):
        self.fields = fields
        self.language, fn_name = fields[:2]
        self.fn_name = None if fn_name == "-" else fn_name
        self.starts_image = fields[2] == "exec"
        numbers = [int(float(field)) for field in fields[3:9]]
        self.address_space, self.file_bytes, self.num_files, self.num_threads = numbers[:4]
        self.compile_secs, self.pid_placeholder = numbers[4:]
        self.source_file, self.filter_file = source, program_filter
        self.filter = b"" if program_filter is None else content(program_filter)


def content(descriptor):
    """Of a whole file, wherever its position is."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def prctl(option, argument, pointer=None):
    if _libc.prctl(option, argument, pointer, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def forbid_inspection():
    """No ptrace, no /proc/<pid>/mem."""
    prctl(_PR_SET_DUMPABLE, 0)


def add_site_builtins():
    """What module `site`, which -S leaves out, would have added."""
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()
    sys.path[:] = [path for path in sys.path if path]


def compile_program(job):
    return compile(content(job.source_file), _FILE_NAME, "exec", dont_inherit=True)


def run_program(job, code, cpu_secs, descriptors, ready):
    """In the fork: gives up every privilege, then becomes the program. Never returns.

    Args:
      job: of the submission.
      code: compiled; None when a fresh image is started.
      cpu_secs: after these and two more the kernel ends the program.
      descriptors: input, stdout, stderr and in call style the result's.
      ready: where "1" tells that everything was set up, and more that it was not.
    """
    try:
        os.setsid()
        if job.starts_image:
            start_image(job, cpu_secs, descriptors, ready)
        arguments = None
        if job.fn_name:
            import json

            arguments = json.loads(content(descriptors[0]))
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        else:
            os.dup2(descriptors[0], 0)
        for target, descriptor in enumerate(descriptors[1:], 1):
            os.dup2(descriptor, target)
        close_others(len(descriptors), ready)
        start(job, code, arguments, cpu_secs, ready)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)


def close_others(first, ready):
    os.closerange(first, ready)
    os.closerange(ready + 1, 4096)


def start(job, code, arguments, cpu_secs, ready):
    give_up(job, cpu_secs)
    os.write(ready, b"1")
    os.close(ready)
    try:
        status = finish(execute(job, code, arguments))
    finally:
        os._exit(status)


def start_image(job, cpu_secs, descriptors, ready):
    """Replaces this process by a fresh interpreter or by the submission's binary."""
    ready = os.dup2(ready, _BINARY + 1, inheritable=False)  # out of the way of what follows
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
    if job.language == "cpp":
        start_binary(job, cpu_secs, ready, len(descriptors))
    os.closerange(len(descriptors), _SOURCE)
    os.dup2(job.source_file, _SOURCE)
    if job.filter_file is None:
        os.closerange(_FILTER, _FILTER + 1)
    else:
        os.dup2(job.filter_file, _FILTER)
    os.dup2(ready, _READY)
    os.closerange(_READY + 1, 4096)
    os.execve(sys.executable, [*job.interpreter_command, str(cpu_secs), *job.fields], os.environ)


def start_binary(job, cpu_secs, ready, first_free):
    """The descriptors of the binary and `ready` close themselves at the execve.

    The filter allows an execve of descriptor `_BINARY` only; the limit on descriptors lies below
    it, so that the program can never again have one of that number.
    """
    binary = os.dup2(job.source_file, _BINARY, inheritable=False)
    os.closerange(first_free, binary)
    os.closerange(ready + 1, 4096)
    variables = [f"{name}={value}".encode() for name, value in os.environ.items()]
    environment = (ctypes.c_char_p * (len(variables) + 1))(*variables, None)
    command = (ctypes.c_char_p * 2)(b"solution", None)
    number = _EXECVEAT[os.uname().machine]
    give_up(job, cpu_secs)
    os.write(ready, b"1")
    _libc.syscall(number, binary, b"", command, environment, _AT_EMPTY_PATH)
    # The compiler made it of what the program says, so it is the program's failure: a source can
    # write sections (`.interp`) that no kernel accepts.
    raise OSError(ctypes.get_errno(), "the binary does not start")


def main(arguments):
    """Of a fresh interpreter: compiles what `start_image` left on fixed descriptors, runs it."""
    try:
        forbid_inspection()
        add_site_builtins()
        cpu_secs, fields = float(arguments[0]), arguments[1:]
        program_filter = _FILTER if is_open(_FILTER) else None
        job = Job(fields, _SOURCE, program_filter)
        prepare_filter(job)
        _thread.stack_size(_THREAD_STACK_BYTES)
        code = compile_program(job)
        values = None
        if job.fn_name:
            import json

            values = json.loads(content(0))
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.closerange(RESULT + 1 if job.fn_name else RESULT, _READY)
        open_standard_streams()
        start(job, code, values, cpu_secs, _READY)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def open_standard_streams():
    sys.stdin = open_stream(0, "stdin", "surrogateescape")
    sys.stdout = open_stream(1, "stdout", "surrogateescape")
    sys.stderr = open_stream(2, "stderr", "backslashreplace")
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def prepare_streams(regular_file):
    """Opens the streams before the fork, on the kinds of files that a test gets: input and pipes.

    A test puts its own files in their place. Nothing is read or written before.
    """
    kept = [os.dup(number) for number in range(3)]
    pipe = os.pipe()
    for number, descriptor in enumerate((regular_file, pipe[1], pipe[1])):
        os.dup2(descriptor, number)
    open_standard_streams()
    for number, descriptor in enumerate(kept):
        os.dup2(descriptor, number)
    for descriptor in (*kept, *pipe):
        os.close(descriptor)


def open_stream(number, name, errors):
    """As the interpreter does at its start."""
    raw = io.FileIO(number, "rb" if number == 0 else "wb", closefd=False)
    raw.name = f"<{name}>"
    binary = io.BufferedReader(raw, 1 << 16) if number == 0 else io.BufferedWriter(raw, 1 << 16)
    return io.TextIOWrapper(binary, "utf-8", errors, newline="\n", line_buffering=number == 2)


def limit_programs(job):
    """Sets, hard and soft, the limits that this process can bear too, for all its children."""
    _thread.stack_size(_THREAD_STACK_BYTES)
    limits = [
        (resource.RLIMIT_AS, job.address_space),
        (resource.RLIMIT_FSIZE, job.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if not job.starts_image:
        limits.append((resource.RLIMIT_NOFILE, _NUM_DESCRIPTORS))
    if job.num_threads:
        # The sandbox's init, the zygote and the submission's process count too.
        limits.append((resource.RLIMIT_NPROC, job.num_threads + 3))
    for limit, value in limits:
        resource.setrlimit(limit, (value, value))
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def prepare_filter(job):
    """Once for all tests: the filter in the form the kernel takes, and where the id belongs."""
    placeholder = struct.pack("<I", job.pid_placeholder)
    job.filter_buffer = ctypes.create_string_buffer(job.filter, len(job.filter) or 1)
    address = ctypes.addressof(job.filter_buffer)
    job.filter_header = struct.pack("HxxxxxxP", len(job.filter) // 8, address)
    offset, job.pid_offsets = job.filter.find(placeholder), []
    while offset >= 0:
        job.pid_offsets.append(offset)
        offset = job.filter.find(placeholder, offset + 4)


def give_up(job, cpu_secs):
    """Every page written here is copied for this process alone, so as little as possible is."""
    seconds = int(cpu_secs) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if job.starts_image:  # which took more descriptors until now
        resource.setrlimit(resource.RLIMIT_NOFILE, (_NUM_DESCRIPTORS, _NUM_DESCRIPTORS))
    if job.filter:
        own = os.getpid()
        for offset in job.pid_offsets:
            struct.pack_into("<I", job.filter_buffer, offset, own)
        prctl(_PR_SET_SECCOMP, 2, job.filter_header)


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
        text = text[os.write(RESULT, text) :]
    os.close(RESULT)


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
    with contextlib.suppress(Exception):  # the program may have put another in its place
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
    return status
