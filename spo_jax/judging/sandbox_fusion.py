"""Programs run by a SandboxFusion service; outputs are compared here.

API: github.com/bytedance/SandboxFusion, sandbox/server/sandbox_api.py (POST /run_code). Its time is
wall time, it names no peak memory and cuts what a program prints after 1 MiB.
"""

import concurrent.futures
import http.client
import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from spo_jax.errors import UserError
from spo_jax.judging.asking import ProgramJudge, check_submission
from spo_jax.judging.checkers import Compares, comparison_of
from spo_jax.judging.classification import classify, printable
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.interface import CompileError, Outcome, SandboxError, Submission
from spo_jax.judging.limits import Limits
from spo_jax.judging.pending import PendingJudgement
from spo_jax.judging.trial import whole_source, why_unusable
from spo_jax.types import Judgement, Problem, TestCase, TestResult, Verdict

BACKEND = "sandbox_fusion"
_LANGUAGES = {"python3": "python", "cpp": "cpp"}
_MIB = 1024 * 1024
_CUT_BYTES = _MIB  # the service reads no more of an output
_MAX_ANSWER_BYTES = 64 * _MIB
_SPARE_SECS = 30.0  # for the service's own work, beyond the program's time
_FIRST_PAUSE_SECS = 0.5
_BUSY_STATUSES = (408, 425, 429, 500, 502, 503, 504)

# Runs a call-style program. What the program prints is dropped, the value follows the marker.
_CALL_DRIVER = """\
import json, os, sys, types
_report, _marker = os.fdopen(os.dup(1), "w"), {marker!r}
_arguments = json.loads(sys.stdin.read())
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
try:
    _code = compile({source!r}, "solution.py", "exec")
except (SyntaxError, ValueError) as error:
    _report.write(_marker + "CE" + str(error))
    _report.close()
    sys.exit(0)
_module = types.ModuleType("solution")
sys.modules["solution"] = _module
exec(_code, _module.__dict__)
_function = getattr(_module, {name!r}, None)
if _function is None:
    _function = getattr(_module.Solution(), {name!r})
_value = json.dumps(_function(*_arguments))
_report.write(_marker + "OK" + _value)
_report.close()
"""


class SandboxFusionJudge(ProgramJudge):
    """Answers like `Judge`; programs run at `endpoint`. Which protections hold is its affair.

    Args:
      endpoint: for example 'http://127.0.0.1:8080'.
      num_workers: requests at the same time.
      limits: per test. The service ends a program after `wall_secs`, by default `time_factor`
        times `cpu_secs`, because it measures wall time.
      comparison: how outputs are compared.
      num_tries: of a request that fails for the service's sake; then the judgement is IE.
      stop_at_first_failure: leave out the tests after a failing one.
    Raises:
      UserError: a bad argument, or the service does not run a program.
    """

    backend = BACKEND
    layers = ()

    def __init__(
        self,
        endpoint: str,
        *,
        num_workers: int = 8,
        limits: Limits | None = None,
        comparison: OutputComparison | None = None,
        num_tries: int = 4,
        time_factor: float = 2.0,
        stop_at_first_failure: bool = True,
    ):
        if not endpoint.startswith(("http://", "https://")):
            raise UserError(
                f"SandboxFusion endpoint '{endpoint}' must start with http:// or https://"
            )
        for name, value in (("num_workers", num_workers), ("num_tries", num_tries)):
            if value < 1:
                raise UserError(f"SandboxFusionJudge {name}={value} must be at least 1")
        self._url = endpoint.rstrip("/") + "/run_code"
        self._limits = limits or Limits()
        self._comparison = comparison or OutputComparison()
        self._num_tries = num_tries
        self._time_factor = time_factor
        self._stop_at_first_failure = stop_at_first_failure
        self._num_workers = num_workers
        self._lock = threading.Lock()
        self._pending: set[PendingJudgement] = set()
        self._identity = (
            f"{BACKEND} {endpoint}; {self._limits}; time_factor={time_factor:g}; "
            f"{self._comparison}; stop_at_first_failure={stop_at_first_failure}"
        )
        self._check_service(endpoint)
        self._executor = concurrent.futures.ThreadPoolExecutor(num_workers, BACKEND)

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def num_ahead(self) -> int:
        return 16 * self._num_workers

    def submit(
        self,
        problem: Problem,
        code: str | None,
        language: str = "python3",
        *,
        deadline_secs: float | None = None,
    ) -> concurrent.futures.Future[Judgement]:
        """Queues a program, as `Judge.submit` does.

        After a cancellation or the deadline no further test is asked for; the one that runs at the
        service cannot be ended from here.
        """
        check_submission(problem, language, deadline_secs)
        future = PendingJudgement()
        with self._lock:
            self._pending.add(future)
        future.add_done_callback(self._forget)
        deadline = None if deadline_secs is None else time.monotonic() + deadline_secs
        self._executor.submit(self._run, problem, code, language, future, deadline)
        return future

    def close(self, *, abort: bool = False) -> None:
        with self._lock:
            pending = list(self._pending)
        if abort:
            for future in pending:
                future.settle_cancelled()
        concurrent.futures.wait(pending)
        self._executor.shutdown(wait=not abort, cancel_futures=abort)

    def _forget(self, future: concurrent.futures.Future[Judgement]) -> None:
        with self._lock:
            self._pending.discard(future)  # type: ignore[arg-type]

    def _run(
        self,
        problem: Problem,
        code: str | None,
        language: str,
        future: PendingJudgement,
        deadline: float | None,
    ) -> None:
        try:
            future.settle(self._judge(problem, code, language, future, deadline))
        except concurrent.futures.CancelledError:
            future.settle_cancelled()
        except BaseException as error:
            future.settle(error)

    def _judge(
        self,
        problem: Problem,
        code: str | None,
        language: str,
        future: PendingJudgement,
        deadline: float | None,
    ) -> Judgement:
        unusable = why_unusable(code)
        if code is None or unusable:
            return _judgement(problem, Verdict.CE, [], unusable)
        submission = Submission(
            language=language,
            source=whole_source(problem, code).encode(),
            fn_name=problem.fn_name,
            limits=self._limits.of_problem(problem),
        )
        comparison = comparison_of(problem, self._comparison)
        results: list[TestResult] = []
        for test in problem.tests:
            if future.cancelled():
                raise concurrent.futures.CancelledError
            try:
                if deadline is not None and time.monotonic() >= deadline:
                    raise SandboxError("not judged within the deadline")
                results.append(self._run_test(test, submission, comparison))
            except CompileError as error:
                return _judgement(problem, Verdict.CE, [], str(error))
            except SandboxError as error:
                message = f"the judge failed: {error}"
                results.append(TestResult(verdict=Verdict.IE, message=printable(message)))
                return _judgement(problem, Verdict.IE, results, message)
            if results[-1].verdict is not Verdict.AC and self._stop_at_first_failure:
                break
        failing = [result for result in results if result.verdict is not Verdict.AC]
        first = failing[0] if failing else results[0]
        return _judgement(problem, first.verdict, results, first.message)

    def _run_test(self, test: TestCase, submission: Submission, comparison: Compares) -> TestResult:
        source, marker = submission.source.decode(), ""
        if submission.fn_name is not None:
            marker = f"<{secrets.token_hex(16)}>"
            source = _CALL_DRIVER.format(marker=marker, source=source, name=submission.fn_name)
        wall_secs = submission.limits.wall_secs or self._time_factor * submission.limits.cpu_secs
        request = {
            "code": source,
            "language": _LANGUAGES[submission.language],
            "stdin": test.input,
            "compile_timeout": submission.limits.compile_secs,
            "run_timeout": wall_secs,
            "memory_limit_MB": submission.limits.memory_bytes // _MIB,
        }
        timeout = wall_secs + submission.limits.compile_secs + _SPARE_SECS
        outcome = outcome_of(self._ask(request, timeout), submission, marker)
        result = classify(outcome, test, submission, comparison)
        if result.verdict is Verdict.WA and len(outcome.stdout) >= _CUT_BYTES <= len(test.output):
            raise SandboxError("the service cut the program's output")
        if result.verdict is Verdict.TLE:  # of wall time, by this service
            message = f"did not end within {wall_secs:g} s of wall time"
            return TestResult(verdict=Verdict.TLE, wall_secs=outcome.wall_secs, message=message)
        return result

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """The service's answer. Raises SandboxError when there is none after some tries."""
        pause = _FIRST_PAUSE_SECS
        for attempt in range(self._num_tries):
            if attempt:
                time.sleep(pause)
                pause *= 2
            try:
                answer = self._post(request, timeout)
            except urllib.error.HTTPError as error:
                failure = f"HTTP status {error.code}"
                if error.code not in _BUSY_STATUSES:
                    break
                continue
            except (OSError, ValueError, http.client.HTTPException) as error:
                failure = str(error) or repr(error)
                continue
            if answer.get("status") in ("Success", "Failed"):
                return answer
            failure = f"{answer.get('status')}: {str(answer.get('message'))[-300:]}"
        raise SandboxError(f"SandboxFusion at {self._url}: {failure}")

    def _post(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        post = urllib.request.Request(self._url, body, headers, method="POST")
        with urllib.request.urlopen(post, timeout=timeout) as response:
            answer = json.loads(response.read(_MAX_ANSWER_BYTES))
        if not isinstance(answer, dict):
            raise ValueError(f"not a JSON object: {answer!r:.60}")
        return answer

    def _check_service(self, endpoint: str) -> None:
        request = {"code": "print(6 * 7)", "language": "python", "run_timeout": 20}
        try:
            answer = self._ask(request, 20 + _SPARE_SECS)
        except SandboxError as error:
            raise UserError(
                f"SandboxFusion endpoint '{endpoint}' does not work: {error}"
            ) from error
        if str((answer.get("run_result") or {}).get("stdout")).strip() != "42":
            raise UserError(f"SandboxFusion endpoint '{endpoint}' answers wrongly: {answer!r:.300}")


def outcome_of(answer: dict[str, Any], submission: Submission, marker: str) -> Outcome:
    """What a program did, from the service's words.

    Raises:
      CompileError: it does not compile. SandboxError: the answer cannot be understood.
    """
    compiled = answer.get("compile_result") or {}
    if compiled and (compiled.get("status") != "Finished" or compiled.get("return_code")):
        raise CompileError(_last_line(compiled.get("stderr")) or "does not compile")
    ran = answer.get("run_result") or {}
    is_late = ran.get("status") == "TimeLimitExceeded"
    return_code = ran.get("return_code")
    if not is_late and not (ran.get("status") == "Finished" and isinstance(return_code, int)):
        raise SandboxError(f"SandboxFusion answered without a result: {answer!r:.300}")
    stdout, stderr = str(ran.get("stdout") or ""), str(ran.get("stderr") or "")
    if submission.language == "python3" and not marker and _is_syntax_error(stderr):
        raise CompileError(_last_line(stderr))
    _, found, report = stdout.rpartition(marker) if marker else ("", "", "")
    if found and report.startswith("CE"):
        raise CompileError(report[2:])
    printed = stdout.encode("utf-8", "surrogatepass")
    is_flood = len(printed) > submission.limits.output_bytes
    return Outcome(
        status=0 if is_late else _wait_status(return_code),
        cpu_secs=0.0,
        wall_secs=float(ran.get("execution_time") or 0.0),
        peak_bytes=0,
        stdout=printed,
        stderr=stderr.encode("utf-8", "surrogatepass"),
        result=report[2:].encode("utf-8", "surrogatepass") if report.startswith("OK") else b"",
        stopped_by="wall" if is_late else "output" if is_flood else "",
        is_spent=True,
    )


def _wait_status(return_code: Any) -> int:
    """As `os.waitpid` would say it: negative codes are signals."""
    return -return_code & 0x7F if return_code < 0 else (return_code & 0xFF) << 8


def _is_syntax_error(stderr: str) -> bool:
    """Of the source itself: Python then prints no traceback."""
    is_named = _last_line(stderr).startswith(("SyntaxError", "IndentationError", "TabError"))
    return is_named and "Traceback (most recent call last)" not in stderr


def _last_line(text: Any) -> str:
    lines = str(text or "").strip().splitlines()
    return lines[-1][:300] if lines else ""


def _judgement(
    problem: Problem, verdict: Verdict, results: list[TestResult], message: str
) -> Judgement:
    return Judgement(
        verdict=verdict,
        tests=tuple(results),
        num_tests=len(problem.tests),
        backend=BACKEND,
        message=printable(message),
    )
