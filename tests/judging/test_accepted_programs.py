"""Programs that must be accepted: blocking too much is a defect."""

import json

import pytest

from spo_jax.types import Judgement, Problem, TestCase

SUM = ("3 4\n", "7\n")
ACCEPTED = {
    "plain": ("a, b = map(int, input().split())\nprint(a + b)", *SUM),
    "stdin as bytes": (
        "import sys\nprint(sum(map(int, sys.stdin.buffer.readline().split())))",
        *SUM,
    ),
    "stdin.buffer line by line": (
        "import sys\nread = sys.stdin.buffer.readline\nread()\nprint(int(read()))",
        "1\n2\n",
        "2",
    ),
    "stdin.read": ("import sys\nprint(sum(map(int, sys.stdin.read().split())))", *SUM),
    "open(0)": ("print(sum(map(int, open(0).read().split())))", *SUM),
    "os.read of the file size": (
        "import io, os\nread = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\n"
        "print(sum(map(int, read().split())))",
        *SUM,
    ),
    "lines of stdin": ("import sys\nprint(sum(int(line) for line in sys.stdin))", "1\n2\n", "3"),
    "until EOFError": (
        "total = 0\ntry:\n    while True:\n        total += int(input())\nexcept EOFError:\n"
        "    print(total)",
        "1\n2\n",
        "3",
    ),
    "CRLF input": (
        "print(sum(map(int, input().split())))\nprint(input().strip())",
        "1 2\r\nx\r\n",
        "3\nx",
    ),
    "no final newline in the input": ("print(int(input()) + int(input()))", "1\n2", "3"),
    "CRLF source": ("a = input()\r\nif a:\r\n    print(a)\r\n", "x", "x"),
    "source with byte order mark": ("\ufeffprint(1)", "", "1"),
    "coding line": ("# -*- coding: latin-1 -*-\nprint('ok')", "", "ok"),
    "no final newline in the output": ("print(7, end='')", *SUM),
    "input left unread": ("print(7)", "x" * 3_000_000, "7"),
    "__main__": ("def main():\n    print(7)\nif __name__ == '__main__':\n    main()", *SUM),
    "exit() in main": ("def main():\n    print(7)\n    exit()\nmain()\nprint(8)", *SUM),
    "quit(0)": ("print(7)\nquit(0)", *SUM),
    "sys.exit() in a function": ("import sys\ndef f():\n    print(7)\n    sys.exit()\nf()", *SUM),
    "os._exit(0) after a flush": ("import os\nprint(7, flush=True)\nos._exit(0)", *SUM),
    "noise on stderr": ("import sys\nsys.stderr.write('debug' * 1_000_000)\nprint(7)", *SUM),
    "megabytes of output": (
        "for i in range(500_000): print(i % 10)",
        "",
        "\n".join(str(i % 10) for i in range(500_000)),
    ),
    "unflushed stdout at exit": ("import sys\nsys.stdout.write('7')", *SUM),
    "atexit": ("import atexit\natexit.register(lambda: print(7))", *SUM),
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(10**6)\n"
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(50_000))",
        "",
        "50000",
    ),
    "deep recursion in a big thread": (
        "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 28)\n"
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
        "thread = threading.Thread(target=lambda: print(f(50_000)))\nthread.start()\n"
        "thread.join()",
        "",
        "50000",
    ),
    "deep recursion through C": (
        "import functools, sys\nsys.setrecursionlimit(10**6)\n@functools.lru_cache(None)\n"
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(30_000))",
        "",
        "30000",
    ),
    "thread that outlives main": (
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.05), print(7))).start()",
        *SUM,
    ),
    "thread pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(32) as pool: print(sum(pool.map(lambda x: x, range(100))))",
        "",
        "4950",
    ),
    "signals to itself": (
        "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: print(7))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)",
        *SUM,
    ),
    "alarm": (
        "import signal, time\ndef ring(*_):\n    print(7)\n    exit()\n"
        "signal.signal(signal.SIGALRM, ring)\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\n"
        "time.sleep(3)",
        *SUM,
    ),
    "raising its own limits is harmless": (
        "import resource\nsoft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))\nprint(7)",
        *SUM,
    ),
    "pickled classes of __main__": (
        "import dataclasses, pickle\n@dataclasses.dataclass\nclass A:\n    x: int\n"
        "print(pickle.loads(pickle.dumps(A(7))).x)",
        *SUM,
    ),
    "integers of many digits": ("print(10**5000)", "", "1" + "0" * 5000),
    "unicode": ("print(input()[::-1])", "aéß漢\n", "漢ßéa"),
    "temporary files": (
        "import tempfile\nwith tempfile.TemporaryFile('w+') as file:\n"
        "    file.write('7')\n    file.seek(0)\n    print(file.read())",
        *SUM,
    ),
    "near the memory limit": ("x = bytearray(80 << 20)\nx[::4096] = x[::4096]\nprint(7)", *SUM),
    "caught MemoryError": (
        "try:\n    x = [0] * 10**10\nexcept MemoryError:\n    print(7)",
        *SUM,
    ),
    "the same order of sets every time": (
        "print(hash('a') == hash('a'), list({'a', 'b', 'c', 'd'}) == list({'d', 'c', 'b', 'a'}))",
        "",
        "True True",
    ),
}


@pytest.fixture(scope="module")
def judgements(judge) -> dict[str, Judgement]:
    """All programs, judged in parallel."""
    items = []
    for code, given, wanted in ACCEPTED.values():
        test = TestCase(given, wanted)
        items.append((Problem(id="test/p", name="p", description="", public_tests=(test,)), code))
    return dict(zip(ACCEPTED, judge.judge_many(items), strict=True))


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(judgements, name):
    assert judgements[name].verdict == "AC", judgements[name].message


def test_standard_library_is_there(run):
    modules = (
        "argparse array ast asyncio base64 binascii bisect calendar cmath cProfile collections "
        "colorsys concurrent.futures contextlib copy csv ctypes dataclasses datetime decimal "
        "difflib dis email enum fractions functools gc getpass glob gzip hashlib heapq html http "
        "inspect io itertools json linecache locale logging lzma math mmap multiprocessing numbers "
        "operator os pathlib pickle pprint queue random re sched secrets select shelve shutil "
        "signal socket sqlite3 statistics string struct subprocess sys tempfile textwrap threading "
        "time timeit traceback types typing unicodedata unittest urllib.parse uuid warnings "
        "weakref xml.etree.ElementTree zipfile zlib zoneinfo"
    )
    code = f"import {', '.join(modules.split())}\nprint(hashlib.sha256(b'').hexdigest()[:4])"
    judgement = run(code, "", "e3b0")
    assert judgement.verdict == "AC", judgement.message


def test_site_packages_are_not_there(run):
    assert run("import numpy").message.startswith("ModuleNotFoundError")


def test_every_test_starts_from_nothing(judge, make_problem):
    code = (
        "import builtins, collections, sys\n"
        "seen = getattr(builtins, 'seen', 0) + collections.__dict__.get('seen', 0)\n"
        "builtins.seen = collections.seen = 1\nprint(seen, len(sys.argv))"
    )
    judgement = judge.judge(make_problem(*[("", "0 1")] * 4), code)
    assert [test.verdict for test in judgement.tests] == ["AC"] * 4


CALLED = {
    "function": ("def f(a, b): return a + b", [3, 4], 7),
    "method of Solution": ("class Solution:\n    def f(self, a, b): return a + b", [3, 4], 7),
    "function before Solution": ("def f(): return 7\nclass Solution: pass", [], 7),
    "lambda": ("f = lambda x: x * 2", ["ab"], "abab"),
    "noise on stdout and stderr": (
        "import sys\nprint('{}')\ndef f():\n    print('7', file=sys.stderr)\n    print(8)\n"
        "    return 7",
        [],
        7,
    ),
    "tuples are lists": ("def f(): return (1, (2, 3))", [], [1, [2, 3]]),
    "mutated arguments": ("def f(x):\n    x.clear()\n    return 7", [[1, 2]], 7),
    "nothing returned": ("def f(): pass", [], None),
    "large integers": ("def f(x): return x + 1", [10**30], 10**30 + 1),
    "text": ("def f(x): return x[::-1]", ["aé漢"], "漢éa"),
    "a megabyte": ("def f(n): return [0] * n", [300_000], [0] * 300_000),
    "main guard is not run": (
        "def f(): return 7\nif __name__ == '__main__':\n    f(int(input()))",
        [],
        7,
    ),
    "recursion": (
        "import sys\nsys.setrecursionlimit(10**5)\ndef f(n): return n and 1 + f(n - 1)",
        [20_000],
        20_000,
    ),
    "exit after the value is too late to matter": (
        "import atexit\natexit.register(print, 'bye')\ndef f(): return 7",
        [],
        7,
    ),
}


@pytest.mark.parametrize("name", CALLED)
def test_accepted_function(call, name):
    code, arguments, wanted = CALLED[name]
    judgement = call(code, json.dumps(arguments), json.dumps(wanted))
    assert judgement.verdict == "AC", judgement.message
