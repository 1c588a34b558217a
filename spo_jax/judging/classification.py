"""From what a program did to a verdict. Precedence: SV, OLE, MLE, TLE, RE, WA, AC."""

import os
import signal

from spo_jax.judging.checkers import Compares
from spo_jax.judging.interface import Outcome, Submission
from spo_jax.types import TestCase, TestResult, Verdict

_NEAR_MEMORY_LIMIT = 0.9
_MESSAGE_CHARS = 300
_OUTPUT_BYTES = 2000  # of a wrong output, kept for feedback


def classify(
    outcome: Outcome, test: TestCase, submission: Submission, comparison: Compares
) -> TestResult:
    """Returns the result of one test. The output is looked at only when the program ended well."""
    verdict, message = _failure(outcome, submission) or _compare(
        outcome, test, submission, comparison
    )
    return TestResult(
        verdict=verdict,
        cpu_secs=outcome.cpu_secs,
        wall_secs=outcome.wall_secs,
        peak_bytes=outcome.peak_bytes,
        message=printable(message),
        output=_excerpt(outcome, submission) if verdict is Verdict.WA else "",
    )


def printable(text: str) -> str:
    """Without control characters: messages quote the program, and are shown on terminals."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _excerpt(outcome: Outcome, submission: Submission) -> str:
    """The beginning of what the program printed or returned, line breaks kept."""
    output = outcome.stdout if submission.fn_name is None else outcome.result
    lines = output[:_OUTPUT_BYTES].decode("utf-8", "replace").split("\n")
    return "\n".join(map(printable, lines))


def _failure(outcome: Outcome, submission: Submission) -> tuple[Verdict, str] | None:
    limits = submission.limits
    killer = os.WTERMSIG(outcome.status) if os.WIFSIGNALED(outcome.status) else 0
    if killer == signal.SIGSYS:
        return Verdict.SV, "made a system call of a foreign architecture"
    if outcome.stopped_by == "output":
        return Verdict.OLE, f"wrote more than {limits.output_bytes} bytes"
    if outcome.stopped_by == "files":
        return Verdict.OLE, f"made more than {limits.num_files} files"
    if _is_out_of_memory(outcome, submission):
        peak_mib, limit_mib = outcome.peak_bytes >> 20, limits.memory_bytes >> 20
        how = "ran out of memory" if peak_mib < limit_mib else f"peak memory {peak_mib} MiB"
        return Verdict.MLE, f"{how}, limit {limit_mib} MiB"
    if outcome.stopped_by == "cpu" or outcome.cpu_secs > limits.cpu_secs:
        return Verdict.TLE, f"used {outcome.cpu_secs:.2f} s of CPU, limit {limits.cpu_secs:g} s"
    if outcome.stopped_by == "wall":
        return Verdict.TLE, f"did not end within {limits.wall_backstop_secs:g} s of wall time"
    if killer:
        return Verdict.RE, f"killed by {_signal_name(killer)}"
    if outcome.status != 0:
        status = os.waitstatus_to_exitcode(outcome.status)
        return Verdict.RE, _last_line(outcome.stderr) or f"exit status {status}"
    if submission.fn_name is not None and not outcome.result:
        return Verdict.RE, f"ended before '{submission.fn_name}' returned a value"
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


def _is_out_of_memory(outcome: Outcome, submission: Submission) -> bool:
    limit = submission.limits.memory_bytes
    if outcome.peak_bytes > limit:
        return True
    if outcome.status == 0:
        return False
    if _last_line(outcome.stderr).startswith("MemoryError"):
        return True
    if submission.language == "cpp" and b"std::bad_alloc" in outcome.stderr[-_MESSAGE_CHARS:]:
        return True
    is_crash = os.WIFSIGNALED(outcome.status) and not outcome.stopped_by
    return is_crash and outcome.peak_bytes > _NEAR_MEMORY_LIMIT * limit


def _compare(
    outcome: Outcome, test: TestCase, submission: Submission, comparison: Compares
) -> tuple[Verdict, str]:
    if submission.fn_name is None:
        problem = comparison.explain_stdout(test, outcome.stdout)
    else:
        problem = comparison.explain_result(test, outcome.result)
    return (Verdict.WA, problem) if problem else (Verdict.AC, "")


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:_MESSAGE_CHARS] if lines else ""
