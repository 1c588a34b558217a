import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import JudgeClient, wire
from spo_jax.running.settings import JudgeSettings

TOKEN = "0123456789abcdef-secret"
ECHO = "print(input())"
SLOW = "import time\ntime.sleep(0.1)\nprint(input())"


def _start(*args):
    command = [sys.executable, "-m", "spo_jax.main", "judge", "serve", *args]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert select.select([server.stdout], [], [], 60)[0], "the server says nothing"
    return server, server.stdout.readline()


@pytest.fixture
def serve(tmp_path):
    """serve(*args) starts a server on one socket; returns it and its address."""
    servers = []
    path = tmp_path / "judge.sock"

    def serve(*args):
        server, line = _start("--socket", str(path), "--num_workers", "2", *args)
        servers.append(server)
        assert line.startswith(f"listening on unix:{path}"), line + server.stderr.read()
        return server, f"unix:{path}"

    yield serve
    for server in servers:
        server.kill()
        server.communicate()


def _raw(address):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(address.removeprefix("unix:"))
    return connection


def _receive(connection):
    (length,) = wire.LENGTH.unpack(connection.recv(4, socket.MSG_WAITALL))
    return json.loads(connection.recv(length, socket.MSG_WAITALL))


def test_several_clients_get_their_own_verdicts(serve, make_problem):
    server, address = serve()
    assert stat.S_IMODE(os.stat(address.removeprefix("unix:")).st_mode) == 0o600
    problem = make_problem(("7", "7"))
    with JudgeClient(address) as one, JudgeClient(address) as two:
        right = [one.submit(problem, ECHO) for _ in range(6)]
        wrong = [two.submit(problem, f"print({n})") for n in range(6)]
        assert [future.result(60).verdict for future in right] == ["AC"] * 6
        assert [future.result(60).verdict for future in wrong] == ["WA"] * 6
        assert one.judge(problem, None).verdict == "CE"
        assert two.judge(problem, ECHO).layers == two.layers
        assert len(one.judge_many([(problem, ECHO)] * 3)) == 3
        with pytest.raises(UserError, match="language 'cobol'"):
            one.judge(problem, ECHO, "cobol")
    assert "jaxlib" not in Path(f"/proc/{server.pid}/maps").read_text()


def test_killed_server_loses_no_submission(serve, make_problem):
    server, address = serve()
    problems = [make_problem((str(n), str(n))) for n in range(5)]
    with JudgeClient(address) as client:
        answers = []
        futures = []
        for n in range(50):
            futures.append(client.submit(problems[n % 5], SLOW if n % 2 else "print(-1)"))
            futures[-1].add_done_callback(answers.append)
        futures[9].result(60)
        server.kill()
        server.wait()
        assert not all(future.done() for future in futures)
        serve()
        verdicts = [future.result(60).verdict for future in futures]
    assert verdicts == ["WA", "AC"] * 25
    assert len(answers) == 50


def test_without_a_server_submissions_fail_after_the_patience(serve, make_problem):
    server, address = serve()
    with JudgeClient(address, connect_timeout=0.5) as client:
        future = client.submit(make_problem(("1", "1")), "import time\ntime.sleep(9)")
        server.kill()
        with pytest.raises(UserError, match="no judge server answers"):
            future.result(60)
        with pytest.raises(UserError, match="no judge server answers"):
            client.submit(make_problem(("1", "1")), ECHO)


def test_sigterm_answers_what_is_queued(serve, make_problem):
    server, address = serve()
    client = JudgeClient(address, connect_timeout=0.2)
    futures = [client.submit(make_problem(("1", "1")), SLOW) for _ in range(12)]
    futures[0].result(60)
    server.send_signal(signal.SIGTERM)
    assert [future.result(60).verdict for future in futures] == ["AC"] * 12
    assert server.wait(60) == 0
    assert not os.path.exists(address.removeprefix("unix:"))
    client.close()


def test_submissions_beyond_the_share_are_told_busy_and_the_client_waits(serve, make_problem):
    _, address = serve("--max_queue", "64")  # a share of two
    problem = make_problem(("1", "1"))
    with JudgeClient(address) as client:
        assert len(client.judge_many([(problem, ECHO)] * 9)) == 9
    record = wire.problem_record(problem)
    with _raw(address) as raw:
        raw.sendall(wire.encode({"type": "hello", "version": 1}))
        assert _receive(raw)["max_open"] == 2
        raw.sendall(wire.encode({"type": "problem", "problem": record}))
        submit = {"type": "submit", "problem": wire.record_hash(record), "language": "python3"}
        for number in range(3):
            raw.sendall(wire.encode({**submit, "id": number, "code": "while True: pass"}))
        assert _receive(raw) == {"type": "busy", "id": 2}


def test_disconnected_and_cancelled_submissions_are_dropped(serve, make_problem):
    _, address = serve()
    problem = make_problem(("1", "1"))
    with JudgeClient(address) as client:
        doomed = JudgeClient(address)
        futures = [doomed.submit(problem, "import time\ntime.sleep(1)") for _ in range(100)]
        futures[0].result(60)
        doomed.close(abort=True)
        kept = [client.submit(problem, SLOW) for _ in range(8)]
        assert kept[7].cancel()
        assert [future.result(60).verdict for future in kept[:7]] == ["AC"] * 7
    path = address.removeprefix("unix:")
    command = [sys.executable, "-m", "spo_jax.main", "judge", "status", "--socket", path]
    state = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert state["num_queued"] == 0
    assert state["verdicts"]["WA"] < 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "exceeds 4096"),
        (wire.LENGTH.pack(3) + b"{{{", "not JSON"),
        (wire.LENGTH.pack(2) + b"[]", "JSON object"),
        (wire.encode({"type": "hello", "version": 99}), "hello of version 1"),
        (
            wire.encode({"type": "hello", "version": 1})
            + wire.encode({"type": "problem", "problem": {"id": 3}}),
            "not a problem",
        ),
    ],
)
def test_garbage_is_answered_with_an_error_to_that_client_only(serve, make_problem, data, message):
    _, address = serve()
    with JudgeClient(address) as client:
        with _raw(address) as raw:
            raw.sendall(data)
            answer = _receive(raw)
            if answer["type"] == "hello":
                answer = _receive(raw)
        assert answer["type"] == "error"
        assert message in answer["message"]
        assert client.judge(make_problem(("1", "1")), ECHO).verdict == "AC"


def test_tcp_wants_the_token(tmp_path, make_problem):
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server, line = _start("--port", str(port), "--num_workers", "1", "--token_file", str(secret))
    try:
        address = f"tcp:127.0.0.1:{port}"
        assert address in line
        for wrong in ("", "0123456789abcdef-secreT"):
            with pytest.raises(UserError, match="token is missing or wrong"):
                JudgeClient(address, token=wrong)
        with JudgeClient(address, token=TOKEN) as client:
            assert client.judge(make_problem(("1", "1")), ECHO).verdict == "AC"
    finally:
        server.kill()
        server.communicate()


def test_tcp_without_a_token_is_refused():
    command = [sys.executable, "-m", "spo_jax.main", "judge", "serve", "--port", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "needs a token" in result.stderr


def test_the_servers_settings_are_not_the_runs():
    with pytest.raises(UserError, match="the judge server's to set"):
        JudgeSettings(address="unix:/x", num_workers=3)
    with pytest.raises(UserError, match="must be 'unix:/path' or"):
        JudgeClient("localhost")
