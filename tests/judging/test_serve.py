"""A judge shared over a socket, in a process of its own, and clients that come, go and die."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import Judge, JudgeClient
from spo_jax.judging.link import read_status
from spo_jax.judging.server import JudgeServer
from spo_jax.judging.sharing import SharedQueue
from spo_jax.judging.wire import parse_address, problem_to_record, read_token, record_hash
from spo_jax.running.settings import JudgeSettings
from spo_jax.types import Problem, TestCase, Verdict

DOUBLE = "print(int(input()) * 2)"
WAIT = "import time; time.sleep(60)"
SHORT_WAIT = "import time; time.sleep(0.2); print(int(input()) * 2)"
TOKEN = "0123456789abcdef0123"


@pytest.fixture
def problem() -> Problem:
    return Problem(id="t/p", name="", description="", public_tests=(TestCase("21\n", "42\n"),))


class Server:
    """`spo judge serve` in a subprocess; `address` is read from what it prints."""

    def __init__(self, *flags: str):
        code = "import sys, spo_jax.main as m\ntry:\n  m.main(sys.argv[1:])\nfinally:\n"
        code += "  print('jax' in sys.modules, flush=True)\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "judge", "serve", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("judging at "), self.process.stderr.read()
        self.address = line.split()[2].rstrip(":")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> tuple[int, str]:
        self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., Server]]:
    servers = []

    def serve(*flags: str, where: tuple[str, ...] = ()) -> Server:
        where = where or ("--socket", str(tmp_path / "s"))
        servers.append(Server(*where, "--num_workers", "2", *flags))
        return servers[-1]

    yield serve
    for server in servers:
        server.kill()
        server.process.stdout.close()
        server.process.stderr.close()


@pytest.fixture
def token_file(tmp_path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True)
    return [int(word) for word in listed.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def raw(server: Server) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(server.address.removeprefix("unix:"))
    return connection


def said(connection: socket.socket) -> list[dict]:
    """All messages until the server hangs up."""
    with connection.makefile("rb") as stream:
        return [json.loads(line) for line in stream]


def test_answers_as_the_judge_here_does(serve, problem):
    server = serve()
    path = server.address.removeprefix("unix:")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with JudgeClient(server.address) as judge:
        accepted = judge.judge(problem, DOUBLE)
        wrong = judge.judge(problem, "print(7)")
        many = judge.judge_many([(problem, DOUBLE), (problem, None), (problem, "1/0")])
        surrogate = judge.judge(problem, "print('\ud800')")
        with pytest.raises(UserError, match="language 'rust'"):
            judge.submit(problem, DOUBLE, "rust")
        late = judge.submit(problem, WAIT, deadline_secs=0.5).result()
        assert (judge.backend, judge.layers) == (accepted.backend, accepted.layers)
        assert judge.identity.startswith("zygote; ")
    assert accepted.verdict is Verdict.AC
    assert accepted.tests[0].peak_bytes > 0
    assert (wrong.verdict, wrong.tests[0].output) == (Verdict.WA, "7\n")
    assert [item.verdict for item in many] == [Verdict.AC, Verdict.CE, Verdict.RE]
    assert surrogate.verdict is Verdict.CE
    assert late.verdict is Verdict.IE
    status = read_status(server.address)
    assert status["verdicts"] == {"AC": 2, "CE": 2, "RE": 1, "WA": 1}
    assert server.end() == (0, "False\n")  # no jax in there
    assert not os.path.exists(path)


def test_several_clients_share_a_short_queue(serve, problem):
    server = serve("--max_queue", "4")
    clients = [JudgeClient(server.address) for _ in range(3)]
    futures = [client.submit(problem, DOUBLE) for client in clients for _ in range(10)]
    highest = 0
    while not all(future.done() for future in futures):
        status = read_status(server.address)
        highest = max(highest, status["num_waiting"] + status["num_running"])
    assert [future.result(60).verdict for future in futures] == [Verdict.AC] * 30
    assert 0 < highest <= 4
    for client in clients:
        client.close()


def test_a_client_above_its_share_is_not_read(serve, problem):
    server = serve("--max_queue", "3")
    record = problem_to_record(problem)
    connection = raw(server)
    send = lambda **message: connection.sendall(json.dumps(message).encode() + b"\n")  # noqa: E731
    send(op="hello", version=1)
    send(op="problem", problem=record)
    connection.setblocking(False)
    padding = "#" * 100_000
    num_sent = 0
    with contextlib.suppress(BlockingIOError):
        for number in range(1000):
            code = WAIT + padding
            send(op="submit", id=number, problem=record_hash(record), code=code, language="python3")
            num_sent += 1
    assert num_sent < 100  # the kernel's buffers are full, and the server takes no more
    wait_for(lambda: read_status(server.address)["num_clients"] == 1)
    status = read_status(server.address)
    assert status["num_waiting"] + status["num_running"] <= 3
    connection.close()  # noticed though nothing is read
    wait_for(lambda: read_status(server.address)["num_waiting"] == 0)
    wait_for(lambda: read_status(server.address)["num_running"] == 0)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"garbage\n", "not JSON"),
        (b"[" * 60_000 + b"\n", "not JSON"),
        (b"7\n", "JSON object"),
        (b'{"op": "submit"}\n', "must be 'hello'"),
        (b'{"op": "hello", "version": 99}\n', "version 1, the client 99"),
        (b'{"op": "hello", "version": 1}\n{"op": "dance"}\n', "unknown message 'dance'"),
        (b'{"op": "hello", "version": 1}\n{"op": "cancel", "id": "x"}\n', "whole number"),
        (b'{"op": "hello", "version": 1}\n{"op": "problem", "problem": 3}\n', "problem cannot"),
        (b'{"op": "hello", "version": 1, "watches": true}\n{"op": "submit"}\n', "who watches"),
        (b"x" * 70_000, "more than 65536 bytes"),
    ],
)
def test_garbage_is_answered_to_its_sender_only(shared_server, problem, line, complaint):
    with JudgeClient(shared_server.address) as judge:
        future = judge.submit(problem, SHORT_WAIT)
        with raw(shared_server) as connection:
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(line)
            last = said(connection)[-1]
        assert last["op"] == "error"
        assert complaint in last["message"]
        assert future.result(60).verdict is Verdict.AC


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory) -> Iterator[Server]:
    server = Server("--socket", str(tmp_path_factory.mktemp("s") / "s"), "--num_workers", "2")
    yield server
    server.kill()
    server.process.stdout.close()
    server.process.stderr.close()


def test_problem_the_judge_refuses(shared_server):
    problem = Problem(
        id="t/p", name="", description="", public_tests=(TestCase("", ""),), checker="nonsense"
    )
    with (
        JudgeClient(shared_server.address) as judge,
        pytest.raises(UserError, match="unknown checker 'nonsense'"),
    ):
        judge.judge(problem, DOUBLE)


def test_port_and_token(serve, problem, token_file):
    with pytest.raises(AssertionError, match="--port needs --token_file"):
        serve(where=("--port", "0"))
    server = serve(where=("--port", "0", "--token_file", str(token_file)))
    with JudgeClient(server.address, token=TOKEN) as judge:
        assert judge.judge(problem, DOUBLE).verdict is Verdict.AC
    with pytest.raises(UserError, match="wants a token, and none"):
        JudgeClient(server.address)
    with pytest.raises(UserError, match="the token is wrong"):
        JudgeClient(server.address, token=TOKEN + "x")
    with pytest.raises(UserError, match="the token is wrong"):
        read_status(server.address, "é" * 20)


def test_token_files_that_are_refused(token_file):
    token_file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_token(str(token_file))
    token_file.chmod(0o600)
    token_file.write_text("short")
    with pytest.raises(UserError, match="too short"):
        read_token(str(token_file))


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("unix:", "must be 'unix:"),
        ("tcp:example.org:80", "not encrypted"),
        ("tcp:127.0.0.1:99999", "must be"),
        ("nowhere", "must be"),
        ("unix:/" + "x" * 200, "at most 107"),
    ],
)
def test_bad_addresses(address, complaint):
    with pytest.raises(UserError, match=complaint):
        JudgeClient(address)
    with pytest.raises(UserError, match=complaint):
        JudgeSettings(address=address)


def test_nobody_listens(tmp_path):
    with pytest.raises(UserError, match=r"no judge answers at unix:.*spo judge serve"):
        JudgeClient(f"unix:{tmp_path}/none", patience_secs=0.1)


def test_a_socket_in_use_is_left_alone(serve, tmp_path):
    serve()
    with pytest.raises(AssertionError, match="another one does already"):
        serve()
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(AssertionError, match="not a socket"):
        serve(where=("--socket", str(path)))
    assert path.read_text() == "precious"


def test_killed_server_loses_no_submission(serve, problem):
    server = serve()
    num_answers = [0] * 30
    with JudgeClient(server.address) as judge:
        futures = []
        for index in range(30):
            code = f"{SHORT_WAIT}\nprint({index} if {index} % 3 == 0 else '')"
            futures.append(judge.submit(problem, code))

            def count(_, index=index):
                num_answers[index] += 1

            futures[-1].add_done_callback(count)
        wait_for(lambda: sum(num_answers) >= 4)
        sandboxes = children(server.process.pid)
        assert sandboxes
        server.kill()
        wait_for(lambda: not any(map(is_alive, sandboxes)))
        assert sum(num_answers) < 30
        serve()
        verdicts = [future.result(60).verdict for future in futures]
    wanted = [Verdict.WA if index % 3 == 0 else Verdict.AC for index in range(30)]
    assert verdicts == wanted
    assert num_answers == [1] * 30


def test_server_that_stays_away_and_one_that_is_another(serve, problem):
    server = serve()
    away = JudgeClient(server.address, patience_secs=0.2)
    other = JudgeClient(server.address)
    futures = [client.submit(problem, WAIT) for client in (away, other)]
    wait_for(lambda: read_status(server.address)["num_running"] == 2)
    server.kill()
    with pytest.raises(UserError, match="no judge answers"):
        futures[0].result(60)
    with pytest.raises(UserError, match="no judge answers"):
        away.submit(problem, DOUBLE)
    serve("--comparison", "taco")
    with pytest.raises(UserError, match="came back as another one"):
        futures[1].result(60)
    for client in (away, other):
        client.close()


def test_cancelled_and_aborted_submissions_free_the_workers(serve, problem):
    server = serve()
    with JudgeClient(server.address) as judge:
        futures = [judge.submit(problem, WAIT) for _ in range(6)]
        wait_for(lambda: read_status(server.address)["num_running"] == 2)
        for future in futures:
            assert future.cancel()
        assert judge.judge(problem, DOUBLE).verdict is Verdict.AC
    with pytest.raises(KeyError), JudgeClient(server.address) as judge:
        future = judge.submit(problem, WAIT)
        raise KeyError
    assert future.cancelled()


def test_killed_client_leaves_nothing_behind(serve, problem):
    server = serve()
    code = (
        "from spo_jax.judging import JudgeClient\nfrom spo_jax.types import *\n"
        "import sys\np = Problem(id='t/p', name='', description='', "
        "public_tests=(TestCase('1', '2'),))\n"
        f"j = JudgeClient(sys.argv[1])\n[j.submit(p, {WAIT!r}) for _ in range(20)]\nj.close()"
    )
    client = subprocess.Popen([sys.executable, "-c", code, server.address])
    wait_for(lambda: read_status(server.address)["num_waiting"] == 18)
    client.kill()
    client.wait()
    wait_for(lambda: read_status(server.address)["num_waiting"] == 0)
    with JudgeClient(server.address) as judge:
        assert judge.judge(problem, DOUBLE).verdict is Verdict.AC
    wait_for(lambda: read_status(server.address)["num_running"] == 0)


def test_sigterm_answers_what_was_taken(serve, problem):
    server = serve("--max_queue", "6")
    judge = JudgeClient(server.address, patience_secs=0.2)
    futures = [judge.submit(problem, SHORT_WAIT) for _ in range(40)]
    wait_for(lambda: read_status(server.address)["num_running"] == 2)
    status, _ = server.end()
    assert status == 0
    outcomes = [future.exception(60) for future in futures]
    num_answered = outcomes.index(next(filter(None, outcomes)))
    assert num_answered >= 2  # what the server had taken; the rest hears that it is gone
    assert all(isinstance(error, UserError) for error in outcomes[num_answered:])
    judge.close()


def test_killed_sandboxes_lose_no_submission(serve, problem):
    server = serve()
    with JudgeClient(server.address) as judge:
        futures = [judge.submit(problem, SHORT_WAIT) for _ in range(8)]
        wait_for(lambda: read_status(server.address)["num_running"] == 2)
        for pid in children(server.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert [future.result(60).verdict for future in futures] == [Verdict.AC] * 8


def test_status_command(shared_server, capsys):
    from spo_jax import main

    path = shared_server.address.removeprefix("unix:")
    assert main.run(["judge", "status", "--socket", path, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["backend"], status["num_workers"]) == ("zygote", 2)
    assert main.run(["judge", "status", "--socket", path]) == 0
    assert "of 1024 places" in capsys.readouterr().out


def test_runs_use_the_shared_judge(shared_server, problem):
    from spo_jax.running.sampling_parts import start_pool

    with start_pool(JudgeSettings(address=shared_server.address)) as judge:
        assert isinstance(judge, JudgeClient)
        assert judge.judge(problem, DOUBLE).verdict is Verdict.AC
    for changes in ({"num_workers": 3}, {"comparison": "taco"}, {"allow_unsandboxed": True}):
        with pytest.raises(UserError, match=f"JudgeSettings.{next(iter(changes))}="):
            JudgeSettings(address="unix:/s", **changes)
    with pytest.raises(UserError, match="token_file needs an address"):
        JudgeSettings(token_file="t")


def test_threads_of_one_process_share_a_client(shared_server, problem):
    with JudgeClient(shared_server.address) as judge:
        verdicts = []
        work = lambda: verdicts.append(judge.judge(problem, DOUBLE).verdict)  # noqa: E731
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verdicts == [Verdict.AC] * 8


def test_long_programs_wait_for_room(problem):
    with Judge(num_workers=1) as judge:
        queue = SharedQueue(judge, 1, max_size=10, max_bytes=100)
        assert queue.join(1)
        assert queue.try_reserve(1, 500, 0)  # alone, so that it is judged at all
        assert not queue.try_reserve(1, 1, 0)
        queue.release(1, 500)
        assert queue.try_reserve(1, 60, 0)
        assert not queue.try_reserve(1, 60, 0)
        assert queue.join(2)
        queue.leave(1)
        assert queue.try_reserve(2, 60, 0)


def test_forgotten_problems_are_sent_again(tmp_path, monkeypatch):
    monkeypatch.setattr("spo_jax.judging.server._MAX_PROBLEM_BYTES", 1)  # the latest only
    problems = [
        Problem(id=f"t/{n}", name="", description="", public_tests=(TestCase("21", str(n)),))
        for n in (42, 43)
    ]
    with Judge(num_workers=1) as judge:
        shared = JudgeServer(judge, parse_address(f"unix:{tmp_path}/s"), num_workers=1)
        with JudgeClient(str(shared.address)) as client:
            judgements = client.judge_many([(problem, DOUBLE) for problem in problems * 3])
        shared.close()
    assert [judgement.verdict for judgement in judgements] == [Verdict.AC, Verdict.WA] * 3
