"""Every program of this directory is judged on every backend; nothing of it may be left.

`pytest tests/judging/threats -k NAME` runs the programs whose path contains NAME.

A program is a file in a directory of its topic. It starts with a block of TOML in comments:

    # /// judge
    # about = "what it tries, and what must stay true"
    # verdicts = ["RE"]             # any of these is right; default AC
    # message = "wall time"         # part of the message; default: any
    # tests = [["3 4", "7"]]        # input, expected output; default [["", "7"]]
    # fn_name = "f"                 # call style: inputs and outputs are JSON; default: stdin
    # limits = {cpu_secs = 0.3}     # fields of `judging.Limits` that differ from conftest.py
    # packages = ["numpy"]          # what `Judge(packages=...)` makes importable; default none
    # machine = "x86_64"            # system call numbers of this machine; default any
    # repeat = {DEEP = ["(", 1000]} # @DEEP@ in program and tests becomes the text so many times
    # ///

@TOKEN@, @PID@, @TCP_PORT@ and the other words of `conftest.Bait` are replaced likewise. Programs
named after a thing to be kept out of reach print what they reached, and 'contained' if nothing.
What must stay true for all of them is asserted below and in `conftest.Watch`: the judge still
answers, no process, descriptor or file is left, its memory has not grown, nobody reached the bait.
"""

import dataclasses
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from spo_jax.types import Problem, TestCase, Verdict

BACKENDS = ("zygote", "exec")
LANGUAGES = {".py": "python3", ".cpp": "cpp"}
_HERE = Path(__file__).parent
_HEADER = re.compile(
    r"(?:^|(?<=\ufeff))(#|//) /// judge\r?\n(?P<lines>(?:\1.*\n)+?)\1 ///\r?\n", re.MULTILINE
)
_KEYS = {
    "about",
    "verdicts",
    "message",
    "tests",
    "fn_name",
    "limits",
    "packages",
    "machine",
    "repeat",
}
_PROBLEM_LIMITS = {"cpu_secs": "time_limit_secs", "memory_bytes": "memory_limit_bytes"}
_ORDINARY_USER = "60999"
_ANSWER_SECS = 120


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """One file. `text` is without the header, which holds secrets of the tests."""

    name: str
    language: str
    header: dict
    text: str

    @classmethod
    def read(cls, path: Path) -> "Program":
        """Bytes that are no UTF-8 become lone surrogates, as in `spo judge`."""
        name = path.relative_to(_HERE).as_posix()
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        match = _HEADER.search(text)
        assert match, f"{name} has no header"
        lines = match["lines"].splitlines()
        header = tomllib.loads("\n".join(line.lstrip("#/")[1:] for line in lines))
        unknown = header.keys() - _KEYS
        assert not unknown and header.get("about"), f"{name}: 'about' missing, or {unknown}"
        return cls(name, LANGUAGES[path.suffix], header, text.replace(match[0], "", 1))

    def code(self, words: dict[str, str]) -> str:
        return self._fill(self.text, words)

    def problem(self, words: dict[str, str]) -> Problem:
        tests = [
            TestCase(*(self._fill(text, words) for text in test))
            for test in self.header.get("tests", [["", "7"]])
        ]
        limits = {
            _PROBLEM_LIMITS[key]: value
            for key, value in self.header.get("limits", {}).items()
            if key in _PROBLEM_LIMITS
        }
        return Problem(
            id=f"threats/{self.name}",
            name=self.name,
            description="",
            public_tests=tuple(tests[:1]),
            private_tests=tuple(tests[1:]),
            fn_name=self.header.get("fn_name"),
            **limits,
        )

    def judge_limits(self) -> dict:
        limits = self.header.get("limits", {})
        return {key: value for key, value in limits.items() if key not in _PROBLEM_LIMITS}

    def _fill(self, text: str, words: dict[str, str]) -> str:
        repeated = {name: part * n for name, (part, n) in self.header.get("repeat", {}).items()}
        for name, value in (repeated | words).items():
            text = text.replace(f"@{name}@", value)
        return text


PROGRAMS = [Program.read(path) for path in sorted(_HERE.glob("*/*")) if path.suffix in LANGUAGES]


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
@pytest.mark.parametrize("backend", BACKENDS)
def test_threat(program, backend, bait, make_judge, trivial_problem):
    arguments = _judge_arguments(program)
    judge, watch = make_judge(backend, program.judge_limits(), **arguments)
    future = judge.submit(program.problem(bait.words), program.code(bait.words), program.language)
    judgement = future.result(_ANSWER_SECS)
    wanted = program.header.get("verdicts", ["AC"])
    assert judgement.verdict in wanted, f"{judgement.verdict}: {judgement.message}"
    assert program.header.get("message", "") in judgement.message
    trivial = judge.submit(trivial_problem, "print(sum(map(int, input().split())))")
    assert trivial.result(_ANSWER_SECS).verdict == "AC"
    watch.assert_nothing_left()
    bait.assert_untouched()


def test_headers_name_verdicts():
    assert len(PROGRAMS) > 150
    known = {verdict.value for verdict in Verdict} - {"IE"}
    for program in PROGRAMS:
        assert set(program.header.get("verdicts", ["AC"])) <= known, program.name


@pytest.mark.slow
def test_all_programs_behave_for_an_ordinary_user():
    """Programs then keep that user's id, and only the namespaces confine them."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become an ordinary user")
    become = ["setpriv", "--reuid", _ORDINARY_USER, "--regid", _ORDINARY_USER, "--clear-groups"]
    paths = os.pathsep.join([os.getcwd(), sysconfig.get_path("purelib")])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "HOME": "/nonexistent"}
    for name in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
        python = [*become, name]
        if subprocess.run([*python, "-c", "import spo_jax"], env=environment).returncode == 0:
            break
    else:
        pytest.skip("an ordinary user cannot read this installation")
    command = [*python, "-m", "pytest", "-p", "no:cacheprovider", "-k", "test_threat", str(_HERE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def _judge_arguments(program: Program) -> dict:
    """What the judge is asked for beyond limits; skips programs made for another machine."""
    if program.header.get("machine", platform.machine()) != platform.machine():
        pytest.skip(f"system call numbers of {program.header['machine']}")
    packages = tuple(program.header.get("packages", ()))
    return {"packages": packages} if packages else {}
