"""Against an HTTP server that answers as SandboxFusion does and really runs the programs."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import Limits, SandboxFusionJudge, sandbox_fusion
from spo_jax.running.sampling_parts import start_pool
from spo_jax.running.settings import JudgeSettings
from spo_jax.types import Problem, TestCase, Verdict


def run_code(request: dict) -> dict:
    """As the service does it: no sandbox, wall time."""
    try:
        ran = subprocess.run(
            [sys.executable, "-c", request["code"]],
            input=request.get("stdin") or "",
            capture_output=True,
            text=True,
            timeout=request["run_timeout"],
        )
    except subprocess.TimeoutExpired:
        result = {"status": "TimeLimitExceeded", "execution_time": request["run_timeout"]}
        return {"status": "Failed", "message": "", "compile_result": None, "run_result": result}
    result = {
        "status": "Finished",
        "execution_time": 0.1,
        "return_code": ran.returncode,
        "stdout": ran.stdout[: 1024 * 1024],
        "stderr": ran.stderr[: 1024 * 1024],
    }
    status = "Failed" if ran.returncode else "Success"
    return {"status": status, "message": "", "compile_result": None, "run_result": result}


class Service:
    """`troubles` are answered first: HTTP statuses, or bodies."""

    def __init__(self) -> None:
        self.troubles: list[int | dict] = []
        self.requests: list[dict] = []
        self.num_at_once = self.most_at_once = 0
        lock = threading.Lock()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    service.num_at_once += 1
                    service.most_at_once = max(service.most_at_once, service.num_at_once)
                    service.requests.append(json.loads(body))
                    trouble = service.troubles.pop(0) if service.troubles else 0
                if isinstance(trouble, int) and trouble:
                    answer, status = {}, trouble
                else:
                    answer, status = trouble or run_code(json.loads(body)), 200
                with lock:
                    service.num_at_once -= 1
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def service(monkeypatch) -> Iterator[Service]:
    monkeypatch.setattr(sandbox_fusion, "_FIRST_PAUSE_SECS", 0.01)
    service = Service()
    yield service
    service.http.shutdown()
    service.http.server_close()


@pytest.fixture
def judge(service) -> Iterator[SandboxFusionJudge]:
    with SandboxFusionJudge(service.endpoint, num_workers=2) as judge:
        yield judge


@pytest.fixture
def make() -> Callable[..., Problem]:
    def make(*tests: tuple[str, str], **fields) -> Problem:
        cases = tuple(TestCase(*test) for test in tests)
        return Problem(id="t/p", name="", description="", public_tests=cases, **fields)

    return make


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("print(int(input()) * 2)", "AC"),
        ("print(float(input()) * 2 + 1e-9)", "AC"),  # our comparison
        ("print(7)", "WA"),
        ("1/0", "RE"),
        ("print(42); raise SystemExit(1)", "RE"),
        ("raise MemoryError", "MLE"),
        ("print(", "CE"),
        ("exec('print(')", "RE"),
        ("", "CE"),
        (None, "CE"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "RE"),
        ("print('x' * 3000)", "WA"),
    ],
)
def test_standard_input(judge, make, code, verdict):
    judgement = judge.judge(make(("21\n", "42\n")), code)
    assert judgement.verdict.value == verdict, judgement
    assert (judgement.backend, judgement.layers) == ("sandbox_fusion", ())


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("def f(a, b): return a + b", "AC"),
        ("class Solution:\n    def f(self, a, b):\n        return (a[0], *b)", "AC"),
        ("def f(a, b):\n    print('noise')\n    return a + b", "AC"),
        ("if __name__ == '__main__': 1/0\ndef f(a, b): return [1, 2]", "AC"),
        ("def f(a, b): return a", "WA"),
        ("def f(a, b): return {1}", "RE"),
        ("def g(a, b): return a + b", "RE"),
        ("import os\ndef f(a, b): os._exit(0)", "RE"),
        ("import os\nos.write(1, b'OK[1, 2]')\nos._exit(0)", "RE"),
        ("def f(a, b) return a", "CE"),
    ],
)
def test_calls(judge, make, code, verdict):
    judgement = judge.judge(make(("[[1], [2]]", "[1, 2]"), fn_name="f"), code)
    assert judgement.verdict.value == verdict, judgement


def test_expected_outputs_stay_here(judge, service, make):
    judge.judge(make(("21\n", "424242\n")), "print(int(input()) * 2)")
    judge.judge(make(("[1]", '"424242"'), fn_name="f"), "def f(a): return a")
    assert all("424242" not in json.dumps(request) for request in service.requests)


def test_time_limit_and_first_failure(service, make):
    limits = Limits(wall_secs=0.5)
    with SandboxFusionJudge(service.endpoint, limits=limits) as judge:
        judgement = judge.judge(make(("1", "1"), ("2", "2")), "import time; time.sleep(9)")
    assert [test.verdict for test in judgement.tests] == [Verdict.TLE]
    assert (judgement.num_tests, judgement.message) == (2, "did not end within 0.5 s of wall time")


def test_troubles_pass(judge, service, make):
    service.troubles = [503, {"status": "SandboxError", "message": "no pod"}, {"odd": 1}]
    assert judge.judge(make(("", "1")), "print(1)").verdict is Verdict.AC


def test_troubles_that_stay_are_the_judges(judge, service, make):
    service.troubles = [{"status": "SandboxError", "message": "no pod"}] * 4
    judgement = judge.judge(make(("", "1")), "print(1)")
    assert judgement.verdict is Verdict.IE
    assert "no pod" in judgement.message
    num_requests = len(service.requests)
    service.troubles = [422]
    assert "HTTP status 422" in judge.judge(make(("", "1")), "print(1)").message
    assert len(service.requests) == num_requests + 1  # asking again would not help
    service.troubles = [{"status": "Success", "run_result": None}]
    assert judge.judge(make(("", "1")), "print(1)").verdict is Verdict.IE


def test_output_the_service_cuts(judge, make):
    wanted = "7 " * 700_000
    judgement = judge.judge(make(("", wanted)), "print('7 ' * 700000)")
    assert judgement.verdict is Verdict.IE
    assert "cut" in judgement.message


def test_compiled_languages(judge, service, make):
    failed = {"status": "Finished", "return_code": 1, "stderr": "p.cpp:1: error: what"}
    service.troubles = [{"status": "Failed", "compile_result": failed, "run_result": None}]
    judgement = judge.judge(make(("", "1")), "int main", "cpp")
    assert (judgement.verdict, judgement.message) == (Verdict.CE, "p.cpp:1: error: what")
    assert service.requests[-1]["language"] == "cpp"


def test_requests_at_once_are_bounded_and_order_kept(judge, service, make):
    items = [(make(("", str(number % 3))), "print(0)") for number in range(9)]
    verdicts = [judgement.verdict for judgement in judge.judge_many(items)]
    assert verdicts == [Verdict.AC, Verdict.WA, Verdict.WA] * 3
    assert 1 <= service.most_at_once <= 2


def test_cancelling_and_deadlines(judge, make):
    problem = make(("", "1"))
    slow = "import time; time.sleep(1); print(1)"
    futures = [judge.submit(problem, slow) for _ in range(4)]
    late = judge.submit(problem, "print(1)", deadline_secs=0.1)
    assert all(future.cancel() for future in futures)
    assert late.result(60).verdict is Verdict.IE


def test_endpoints_that_do_not_work(service):
    with pytest.raises(UserError, match="http://"):
        SandboxFusionJudge("localhost:8080")
    service.troubles = [404]
    with pytest.raises(UserError, match=r"does not work: .*404"):
        SandboxFusionJudge(service.endpoint)
    service.http.shutdown()
    service.http.server_close()
    with pytest.raises(UserError, match="does not work"):
        SandboxFusionJudge(service.endpoint)


def test_runs_use_the_service(service, make):
    settings = JudgeSettings(address=service.endpoint, comparison="taco", num_workers=1)
    with start_pool(settings) as judge:
        assert isinstance(judge, SandboxFusionJudge)
        assert judge.judge(make(("", "1")), "print(1)").verdict is Verdict.AC
    with pytest.raises(UserError, match=r"JudgeSettings.backend='exec'"):
        JudgeSettings(address=service.endpoint, backend="exec")
