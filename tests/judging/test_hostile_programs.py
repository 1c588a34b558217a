"""Programs that attack the judge, its host or the verdict. After each the judge still answers.

Two kinds: programs that are stopped (the verdict says how), and programs that print 'contained'
when what they try fails; for those AC is the proof, and anything else names what got through.
"""

import os
import uuid
from pathlib import Path

import pytest

from spo_jax.judging import Judge, Limits

STOPPED = {
    # name: (program, verdicts allowed)
    "fork bomb": ("import os\nwhile True: os.fork()", {"RE"}),
    "stubborn fork bomb": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        {"TLE"},
    ),
    "subprocess": ("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'sleep 60 &'])", {"RE"}),
    "multiprocessing": (
        "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()",
        {"RE"},
    ),
    "thread bomb": (
        "import threading, time\n"
        "while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        {"RE", "MLE"},
    ),
    "busy threads": (
        "import threading\ndef spin():\n    while True: pass\n"
        "for _ in range(8): threading.Thread(target=spin).start()",
        {"TLE"},
    ),
    "growing list": ("x = []\nwhile True: x.append(bytearray(1 << 20))", {"MLE"}),
    "one huge allocation": ("x = [0] * 10**10", {"MLE"}),
    "memory hog that catches MemoryError": (
        "x = []\nwhile True:\n    try: x.append(b'x' * (1 << 20))\n    except MemoryError: pass",
        {"MLE", "TLE"},
    ),
    "infinite loop": ("while True: pass", {"TLE"}),
    "signals ignored": (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        {"TLE"},
    ),
    "catastrophic regular expression": (
        "import re\nre.match('(a+)+$', 'a' * 40 + 'b')",
        {"TLE"},
    ),
    "huge integer": ("x = 7 ** (10 ** 8)", {"TLE", "MLE"}),
    "output flood": ("while True: print('x' * 10_000)", {"OLE"}),
    "output flood through the descriptor": (
        "import os\nwhile True: os.write(1, b'x' * 65536)",
        {"OLE"},
    ),
    "stderr flood": ("import os\nwhile True: os.write(2, b'x' * 65536)", {"TLE"}),
    "file flood": (
        "i = 0\nwhile True:\n    i += 1\n    open(f'/tmp/{i}', 'w').close()",
        {"OLE"},
    ),
    "big file": (
        "with open('/tmp/big', 'wb') as file:\n    while True: file.write(b'x' * (1 << 20))",
        {"RE"},
    ),
    "sparse file": ("open('/tmp/sparse', 'wb').truncate(1 << 40)", {"RE"}),
    "descriptor flood": ("import os\nwhile True: os.dup(0)", {"RE"}),
    "makes a FIFO": ("import os\nos.mkfifo('/tmp/fifo')\nopen('/tmp/fifo')", {"RE"}),
    "crash in C": ("import ctypes\nctypes.string_at(0)", {"RE"}),
    "aborts": ("import os\nos.abort()", {"RE"}),
    "endless recursion": ("def f(): f()\nf()", {"RE"}),
    "endless recursion in C": (
        "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n"
        "    def __getattr__(self, name): return getattr(self, name + 'x')\nA().x",
        {"RE", "MLE", "TLE"},
    ),
    "nothing but a closed stdout": ("import os\nos.close(1)", {"WA", "RE"}),
    "everything closed": ("import os\nos.closerange(0, 4096)", {"WA", "RE"}),
    "a judge's report on every descriptor": (
        "import os\nfor fd in range(256):\n"
        "    try: os.write(fd, b'done 0 0.0 1 - 1 0')\n    except OSError: pass",
        {"WA"},
    ),
    "sockets of the runner by number": (
        "import socket\nsocket.socket(fileno=100).send(b'done 0 0.0 1 - 1 0')",
        {"RE"},
    ),
    "exit status of the runner's own failures": ("import os\nos._exit(1)", {"RE"}),
    "compile bomb of brackets": ("(" * 100_000, {"CE"}),
    "compile bomb of operators": ("x = " + "-" * 200_000 + "1", {"CE", "RE", "WA"}),
    "compile bomb of constants": ("x = ((1 << 128) ** 64) * 'a'", {"RE", "CE"}),
    "NUL byte": ("print(1)\0", {"CE"}),
    "lone surrogate": ("print('\ud800')", {"CE"}),
}


@pytest.mark.parametrize("name", STOPPED)
def test_stopped(run, processes_left, name):
    code, verdicts = STOPPED[name]
    judgement = run(code, "", "7", time_limit_secs=0.3)
    assert judgement.verdict in verdicts, judgement.message
    assert processes_left() == {}
    assert run("print(7)", "", "7").verdict == "AC"


WAITING = {
    "sleeps for ever": "import time\ntime.sleep(10**6)",
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "waits for itself": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
}


def test_waiting_programs_end_at_the_wall_limit(make_problem, processes_left):
    problem = make_problem(("", ""))
    with Judge(num_workers=2, limits=Limits(wall_secs=1.0)) as judge:
        judgements = judge.judge_many([(problem, code) for code in WAITING.values()])
    for judgement in judgements:
        assert judgement.verdict == "TLE"
        assert judgement.message == "did not end within 1 s of wall time"
    assert processes_left() == {}


def attempt(action: str, imports: str = "") -> str:
    """A program that prints 'contained' when `action` raises OSError."""
    body = "\n".join(f"    {line}" for line in action.splitlines())
    return f"import os\n{imports}\ntry:\n{body}\nexcept OSError: print('contained')\nelse: print(1)"


def attempt_calls(*calls: str) -> str:
    """A program that prints 'contained' when every raw system call answers EPERM or ENOSYS."""
    lines = [
        f"results.append(({call!r}, libc.syscall({call}), ctypes.get_errno()))" for call in calls
    ]
    return "\n".join(
        [
            "import ctypes",
            "libc = ctypes.CDLL(None, use_errno=True)",
            "buffer = ctypes.create_string_buffer(4096)",
            "results = []",
            *lines,
            "through = [r for r in results if r[1] != -1 or r[2] not in (1, 38)]",
            "print(through or 'contained')",
        ]
    )


CONTAINED = {
    "kills its parent": attempt("os.kill(os.getppid(), 9)"),
    "kills everybody": attempt("os.kill(-1, 9)"),
    "kills the init": attempt("os.kill(1, 9)"),
    "kills its parent's group": attempt("os.killpg(os.getpgid(os.getppid()), 9)"),
    "limits its parent": attempt(
        "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))", "import resource"
    ),
    "raises its own limits": (
        "import resource\nraised = []\nfor name in dir(resource):\n"
        "    if name.startswith('RLIMIT_'):\n        limit = getattr(resource, name)\n"
        "        soft, hard = resource.getrlimit(limit)\n        if hard == -1: continue\n"
        "        try:\n            resource.setrlimit(limit, (hard, hard + 1))\n"
        "            raised.append(name)\n        except (OSError, ValueError): pass\n"
        "print(raised or 'contained')"
    ),
    "signals by file ownership": attempt(
        "r, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())", "import fcntl"
    ),
    "double fork": attempt("os.fork()"),
    "exec": attempt("os.execv(sys.executable, ['python', '-c', 'print(1)'])", "import sys"),
    "TCP": attempt(
        "socket.create_connection(('127.0.0.1', 22), timeout=1)", "import socket"
    ),
    "UDP": attempt(
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
        "import socket",
    ),
    "metadata address": attempt(
        "urllib.request.urlopen('http://169.254.169.254/', timeout=1)", "import urllib.request"
    ),
    "every family of sockets": (
        "import socket\nopened = []\nfor family in range(46):\n"
        "    for kind in (1, 2, 3, 5):\n"
        "        try: socket.socket(family, kind)\n        except OSError: continue\n"
        "        opened.append(family)\nprint('contained' if set(opened) <= {1} else opened)"
    ),
    "reads host files": (
        "import os\nopened = []\nfor path in ('/etc/passwd', '/etc/shadow', '/etc/hostname',\n"
        "    '/proc/self/environ', '/proc/1/cmdline', '/sys/kernel', '/root', '/home', '/var',\n"
        "    '/dev/shm', '/dev/mem', '/dev/tty', '/run', '/usr/bin/env', '/usr/local', '/opt'):\n"
        "    if os.path.exists(path): opened.append(path)\nprint(opened or 'contained')"
    ),
    "writes wherever it can": (
        "import os\nwritten = []\nfor base, directories, _ in os.walk('/'):\n"
        "    if base.startswith('/tmp'): continue\n"
        "    try: open(os.path.join(base, 'escaped'), 'w')\n    except OSError: continue\n"
        "    written.append(base)\n    break\nprint(written or 'contained')"
    ),
    "writes to files it can read": (
        "import os\nprint([p for p in (os.__file__, '/usr/lib', '/') if os.access(p, os.W_OK)]\n"
        "      or 'contained')"
    ),
    "becomes root": attempt("os.setuid(0)"),
    "namespaces, mounts, roots": attempt_calls(
        "272, 0x10000000", "272, 0x20000", "308, 0, 0", "165, 0, 0, 0, 0, 0", "161, b'/'",
        "155, 0, 0",
    ),
    "looks into other processes": attempt_calls(
        "101, 16, 2, 0, 0", "310, 2, 0, 0, 0, 0, 0", "311, 2, 0, 0, 0, 0, 0", "434, 2, 0",
        "438, 3, 0, 0",
    ),
    "kernel features not needed": attempt_calls(
        "425, 8, buffer", "321, 0, buffer, 64", "250, 0, 0", "248, 0, 0, 0, 0, 0", "323, 0",
        "298, buffer, 0, -1, -1, 0", "319, b'x', 0", "175, buffer, 0, b''", "169, 0, 0, 0, 0",
    ),
    "finds other descriptors": (
        "import os\nfound = []\nfor fd in range(3, 4096):\n"
        "    try: os.fstat(fd)\n    except OSError: continue\n    found.append(fd)\n"
        "print(found or 'contained')"
    ),
    "changes its input": attempt("os.write(0, b'x')"),
    "types into a terminal": attempt(
        "fcntl.ioctl(0, termios.TIOCSTI, b'x')", "import fcntl, termios"
    ),
    "walks up to the runner": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        "    control = frame.f_locals.get('control') or frame.f_globals.get('control')\n"
        "    if control is not None and hasattr(control, 'send'):\n"
        "        try: control.send(b'done 0 0.0 1 - 1 0'); print('sent')\n"
        "        except OSError: pass\n    frame = frame.f_back\nprint('contained')"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINED)
def test_contained(run, processes_left, name):
    if "libc.syscall" in CONTAINED[name] and os.uname().machine != "x86_64":
        pytest.skip("call numbers of x86_64")
    judgement = run(CONTAINED[name], "", "contained")
    assert judgement.verdict == "AC", judgement.message
    assert processes_left() == {}
    assert run("print(7)", "", "7").verdict == "AC"


def test_environment_of_the_judge_is_not_inherited(run, monkeypatch):
    monkeypatch.setenv("JUDGE_SECRET", "secret")
    judgement = run("import os\nprint(sorted(os.environ))\nprint(os.environ.get('JUDGE_SECRET'))")
    assert "JUDGE_SECRET" not in judgement.message
    code = "import os\nprint(os.environ.get('JUDGE_SECRET'), len(os.environ) < 9)"
    assert run(code, "", "None True").verdict == "AC"


def test_nothing_is_written_on_the_host(run):
    name = f"escaped-{uuid.uuid4().hex}"
    code = f"open('/tmp/{name}', 'w').write('x')\nprint(7)"
    assert run(code, "", "7").verdict == "AC"
    assert not Path("/tmp", name).exists()


def test_the_repository_is_out_of_reach(run):
    path = str(Path(__file__).resolve())
    assert run(f"import os\nprint(os.path.exists({path!r}))", "", "False").verdict == "AC"


_LEAVE_A_MARK = {
    "file": "open('/tmp/mark', 'x')",
    "mode-000 directory": "os.mkdir('/tmp/mark', 0o700); os.mkdir('/tmp/mark/a'); "
    "os.chmod('/tmp/mark', 0)",
    "symlink": "os.symlink('/etc/passwd', '/tmp/mark')",
    "removed again": "open('/tmp/mark', 'x').close()\nos.remove('/tmp/mark')",
    "mode of /tmp": "os.chmod('/tmp', 0o711)",
}


@pytest.mark.parametrize("name", _LEAVE_A_MARK)
def test_no_state_passes_from_test_to_test(judge, make_problem, processes_left, name):
    code = (
        "import os\nstatus = os.stat('/tmp')\n"
        "fresh = status.st_mtime > 1e9 and status.st_mode & 0o777 != 0o711\n"
        "print('fresh' if fresh and not os.listdir('/tmp') else 'marked')\n"
        f"{_LEAVE_A_MARK[name]}"
    )
    judgement = judge.judge(make_problem(*[("", "fresh")] * 3), code)
    assert [test.verdict for test in judgement.tests] == ["AC"] * 3, judgement.message
    assert processes_left() == {}


# Reads every page of memory that holds an object this process can find, and the heap's end. The
# pattern is written so that neither this source nor its constants match it.
_SEARCH_MEMORY = """
import ctypes, gc, os, re
given = os.read(0, 100)
gc.unfreeze()
known = gc.get_objects()
known += gc.get_referents(*known)
pages = {id(thing) & ~4095 for thing in known}
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
pages |= {libc.sbrk(0) // 4096 * 4096 - 4096 * number for number in range(1, 64)}
secret = re.compile(rb"f[i]rst-s[e]cret")
print("found" if any(secret.search(ctypes.string_at(page, 4096)) for page in pages) else "nothing")
"""


def test_inputs_of_other_tests_are_not_in_memory(judge, make_problem):
    """The first test finds its own input: the search works. The second finds nothing of it."""
    problem = make_problem(("first-secret", "found"), ("another", "nothing"))
    judgement = judge.judge(problem, _SEARCH_MEMORY)
    assert [test.verdict for test in judgement.tests] == ["AC", "AC"], judgement.message


CHEATING_FUNCTIONS = {
    "exits before it returns": ("import sys\ndef f(): sys.exit(0)", {"RE"}),
    "exits while defining": ("exit(0)", {"RE"}),
    "vanishes": ("import os\ndef f(): os._exit(0)", {"RE"}),
    "prints the answer only": ("def f(): print(7)", {"WA"}),
    "object equal to everything": (
        "class A(int):\n    def __eq__(self, other): return True\n    __hash__ = None\n"
        "def f(): return A(8)",
        {"WA"},
    ),
    "object that is no JSON": (
        "class A:\n    def __eq__(self, other): return True\ndef f(): return A()",
        {"RE"},
    ),
    "NaN": ("def f(): return float('nan')", {"WA"}),
    "infinity": ("def f(): return float('inf')", {"WA"}),
    "true for a number": ("def f(): return True", {"WA"}),
    "two results": ("import os\ndef f():\n    os.write(3, b'8 ')\n    return 7", {"WA"}),
    "a result and garbage": (
        "import os\ndef f():\n    os.write(3, b'7]')\n    os._exit(0)",
        {"WA"},
    ),
    "a verdict for a result": (
        'import os\ndef f():\n    os.write(3, b\'{"verdict": "AC"}\')\n    os._exit(0)',
        {"WA"},
    ),
    "endless result": ("def f(): return 'x' * (8 << 20)", {"OLE"}),
    "patched json": ("import json\njson.dumps = lambda *_: 'true'\ndef f(): return 8", {"WA"}),
    "result written, then a crash": (
        "import atexit, os\ndef f(): return 7\natexit.register(os._exit, 3)",
        {"RE"},
    ),
    "no such function": ("def g(): return 7", {"RE"}),
    "wrong number of arguments": ("def f(a, b, c): return 7", {"RE"}),
}


@pytest.mark.parametrize("name", CHEATING_FUNCTIONS)
def test_cheating_function(call, processes_left, name):
    code, verdicts = CHEATING_FUNCTIONS[name]
    judgement = call(code, "[]", "7")
    assert judgement.verdict in verdicts, judgement.message
    assert processes_left() == {}


def test_trap_crash_with_empty_expected_output(run, call):
    assert run("1 / 0", "", "").verdict == "RE"
    assert run("import os, signal\nos.kill(os.getpid(), 9)", "", "").verdict == "RE"
    assert run("raise SystemExit('error')", "", "").verdict == "RE"
    assert run("", "", "").verdict == "CE"
    assert call("def f(): raise ValueError", "[]", "null").verdict == "RE"
    assert run("pass", "", "").verdict == "AC"
