"""The trusted program inside a sandbox: forks a process per submission, that one forks per test.

Never imported by the judge: its text, after that of `program`, is handed to a bare interpreter
(`python -s -S -c`). It uses the standard library only and must run under any Python from 3.9 on.

The first process, the zygote, lives as long as the sandbox and never reads a source, an input or
an output: nothing of one submission lies in the memory that the next one inherits. It forks the
submission's process, which compiles; that one forks for each test, and inputs pass through it
unread. Whatever a test leaves running becomes a child of the submission's process (or then of the
zygote), which says so; the judge replaces such a sandbox, as it does one whose /tmp was touched.

Messages to the zygote (one datagram each, fields separated by blanks):
  zygote: ready VERSION
  judge:  job LANGUAGE FN_NAME|- fork|exec ADDRESS_SPACE FILE_BYTES NUM_FILES NUM_THREADS|0
              COMPILE_SECS PLACEHOLDER
          with descriptors: the submission's socket, source or binary, and the program's system
          call filter if there is one, in which PLACEHOLDER stands for the process id
  judge:  end                     ends the submission's process
  zygote: idle STATUS IS_CLEAN    it has ended
and on the submission's socket:
  runner: compiled | error MESSAGE
  judge:  test CPU_SECS   with descriptors: input, stdout, stderr, and the result's in call style
  judge:  stop            ends the running test
  runner: done STATUS CPU_SECS PEAK_KIB STOPPED_BY|- IS_SET_UP IS_SPENT
"""

import _socket
import contextlib
import gc
import os
import resource
import select
import struct
import sys
import time

from spo_jax.judging.program import (
    Job,
    add_site_builtins,
    compile_program,
    forbid_inspection,
    limit_programs,
    prctl,
    prepare_filter,
    prepare_streams,
    run_program,
)

_ZYGOTE_SOCKET, _SUBMISSION_SOCKET = 100, 101  # received descriptors take lower numbers
_TMP = "/tmp"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIGKILL = 9
_POLL_SECS = 0.1
_NUM_CPUS = len(os.sched_getaffinity(0))

# Imported before the forks, because they cost milliseconds in every test.
_ALWAYS_WARM = (
    "bisect collections copy functools heapq itertools json math operator re string".split()  # noqa: SIM905
)
_WARM_WHEN_NAMED = frozenset(
    """
    array cmath contextlib dataclasses datetime decimal enum fractions numbers queue random
    statistics threading types typing
    """.split()  # noqa: SIM905
)


def main(arguments, interpreter_command):
    os.dup2(int(arguments[0]), _ZYGOTE_SOCKET)
    os.closerange(3, _ZYGOTE_SOCKET)
    os.closerange(_ZYGOTE_SOCKET + 1, 4096)
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, _ZYGOTE_SOCKET)
    forbid_inspection()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    owns_namespace = arguments[1] == "1"
    if owns_namespace and os.getpid() != 2:
        raise RuntimeError("not alone in a process namespace")
    add_site_builtins()
    for name in _ALWAYS_WARM:
        __import__(name)
    Job.interpreter_command = interpreter_command
    pristine = fingerprint(_TMP) if owns_namespace else None
    gc.collect()
    gc.freeze()
    control.send(b"ready %d.%d.%d" % sys.version_info[:3])
    while True:
        fields, descriptors = receive(control)
        if not fields:
            return
        if fields[0] == "job":
            serve_submission(control, fields[1:], descriptors, pristine)
        # else an 'end' that crossed the end it asks for


def receive(control):
    """Returns (fields, descriptors) of the next message; no fields when the judge is gone."""
    try:
        data, ancillary, _, _ = control.recvmsg(4096, _socket.CMSG_SPACE(4 * 4))
    except ConnectionResetError:
        return [], []
    descriptors: list = []
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            descriptors += struct.unpack(f"{len(content) // 4}i", content)
    return data.decode().split(" ") if data else [], descriptors


def serve_submission(control, fields, descriptors, pristine):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run_submission(fields, descriptors, pristine)
            status = 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(status)
    for descriptor in descriptors:
        os.close(descriptor)
    status = wait_for_submission(control, pid)
    is_clean = not has_children() and pristine is not None and fingerprint(_TMP) == pristine
    control.send(b"idle %d %d" % (status, is_clean))


def wait_for_submission(control, pid):
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control.fileno(), select.POLLIN)
    while True:
        events = dict(poll.poll())
        if handle in events:
            os.close(handle)
            return os.waitpid(pid, 0)[1]
        fields, _ = receive(control)
        if not fields:
            os._exit(1)  # the judge is gone
        os.kill(pid, _SIGKILL)


def has_children():
    """Whether any is left, after those that have ended are forgotten."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def run_submission(fields, descriptors, pristine):
    """In its own process: compiles, then runs tests until the judge hangs up."""
    prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.close(_ZYGOTE_SOCKET)
    for number, descriptor in enumerate(descriptors, _SUBMISSION_SOCKET):
        os.dup2(descriptor, number)
        os.close(descriptor)
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, _SUBMISSION_SOCKET)
    source, program_filter = _SUBMISSION_SOCKET + 1, _SUBMISSION_SOCKET + 2
    job = Job(fields, source, program_filter if len(descriptors) > 2 else None)
    code = None
    if job.language != "cpp":
        try:
            code = compile_within_limits(job)
        except Exception as error:  # SyntaxError, ValueError, MemoryError, RecursionError, ...
            control.send(("error " + describe(error)).encode("utf-8", "replace")[:4000])
            return
        warm_up(code, job)
    prepare_filter(job)
    limit_programs(job)
    if not job.starts_image:
        prepare_streams(job.source_file)
    gc.freeze()
    control.send(b"compiled")
    while True:
        fields, descriptors = receive(control)
        if not fields:
            return
        if fields[0] == "test":
            run_test(control, job, code, float(fields[1]), descriptors, pristine)
        # else a 'stop' that crossed the end of its test


def compile_within_limits(job):
    """Compiles under soft limits: a source that exhausts them ends this process, which is CE."""
    soft_cpu = int(time.process_time()) + job.compile_secs + 1
    hard_cpu = resource.getrlimit(resource.RLIMIT_CPU)[1]
    hard_space = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft_cpu, hard_cpu))
    resource.setrlimit(resource.RLIMIT_AS, (job.address_space, hard_space))
    code = compile_program(job)
    resource.setrlimit(resource.RLIMIT_CPU, (hard_cpu, hard_cpu))
    resource.setrlimit(resource.RLIMIT_AS, (hard_space, hard_space))
    return code


def warm_up(code, job):
    if job.starts_image:
        return
    wanted = _WARM_WHEN_NAMED.intersection(code.co_names)
    for name in sorted(wanted):
        __import__(name)
    if wanted:
        gc.collect()


def describe(error):
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    return f"{type(error).__name__}: {error}"


def fingerprint(directory):
    """Changes with any change of the directory: the kernel alone sets its ctime.

    Reading the directory changes the time of its last access, which a later test could read.
    """
    status = os.stat(directory)
    return status.st_ctime_ns, status.st_atime_ns


def run_test(control, job, code, cpu_secs, descriptors, pristine):
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        if pristine is None:  # else the namespace ends with its first processes
            prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        run_program(job, code, cpu_secs, descriptors, ready_write)
    for descriptor in (*descriptors, ready_write):
        os.close(descriptor)
    stopped_by = watch(control, job, pid, cpu_secs, pristine is not None)
    _, status, usage = os.wait4(pid, 0)
    if pristine is None:
        end_group(pid)
    is_spent = has_children() or (pristine is not None and fingerprint(_TMP) != pristine)
    is_set_up = os.read(ready_read, 2) == b"1"
    os.close(ready_read)
    used = usage.ru_utime + usage.ru_stime
    fields = (status, used, usage.ru_maxrss, stopped_by or "-", int(is_set_up), int(is_spent))
    control.send(b"done " + " ".join(str(field) for field in fields).encode())


def watch(control, job, pid, cpu_secs, counts_files):
    """Waits for the end of `pid` and enforces the limits that rlimits cannot."""
    clock = (~pid << 3) | 2  # CPUCLOCK_SCHED of the process
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(_SUBMISSION_SOCKET, select.POLLIN)
    stopped_by = ""
    while True:
        remaining = cpu_secs - time.clock_gettime(clock)
        events = dict(poll.poll(1000 * max(0.001, min(_POLL_SECS, remaining / _NUM_CPUS))))
        if handle in events:
            os.close(handle)
            return stopped_by
        if _SUBMISSION_SOCKET in events:
            fields, _ = receive(control)
            if not fields:
                os._exit(1)  # the judge is gone, or has no use for the result
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


def end_group(leader):
    """Without a process namespace: ends what is left of the program's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, _SIGKILL)
