"""Verdicts remembered on disk: the same program is judged once, also after a restart.

A run that is resumed redoes its last collect. A program close to its time limit could then get
another verdict than before; with the cache it cannot, so the resumed run equals the uninterrupted
one. It also spares the judge the many samples that are the same program.
"""

import concurrent.futures
import hashlib
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from spo_jax.types import Judgement, Problem, TestResult, Verdict

_FORMAT = 2  # records of another one are judged again


class SubmitsPrograms(Protocol):
    """What the cache wraps: `judging.Judge`, or anything that answers like it."""

    def submit(
        self, problem: Problem, code: str, language: str = "python3"
    ) -> concurrent.futures.Future[Judgement]: ...


class CachedJudge:
    """A judge that remembers. Judge failures (IE) are not remembered.

    Args:
      judge: judges what is not known yet. Its `identity`, if it has one, is a part of what is
        remembered: other limits, another comparison or backend are another judge.
      path: JSON lines file, one verdict a line; created when missing. A last line torn by a crash
        is dropped: that program is judged again.
      also: files of others who judge for the same run, read at the start; they may be written to
        meanwhile.
    """

    def __init__(
        self,
        judge: SubmitsPrograms,
        path: str | os.PathLike[str],
        also: Iterable[str | os.PathLike[str]] = (),
    ):
        self._judge = judge
        self._judge_identity = getattr(judge, "identity", "")
        self._path = Path(path)
        self._lock = threading.Lock()
        self._problem_hashes: dict[Problem, str] = {}
        self._known: dict[str, Judgement] = {}
        for file in also:
            self._known |= _records_in(_whole_lines(Path(file)))
        self._known |= _read_records(self._path)
        self._pending: dict[str, concurrent.futures.Future[Judgement]] = {}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a", encoding="utf-8")
        self.num_hits = 0

    def submit(
        self, problem: Problem, code: str, language: str = "python3"
    ) -> concurrent.futures.Future[Judgement]:
        """Returns a future of the judgement; of an identical pending submission, the same one."""
        key = self._key(problem, code, language)
        with self._lock:
            if key in self._known:
                self.num_hits += 1
                return _resolved(self._known[key])
            if key in self._pending:
                self.num_hits += 1
                return self._pending[key]
            future = self._judge.submit(problem, code, language)
            self._pending[key] = future
        future.add_done_callback(lambda done: self._remember(key, done))
        return future

    def close(self) -> None:
        self._file.close()

    def _key(self, problem: Problem, code: str, language: str) -> str:
        if problem not in self._problem_hashes:
            self._problem_hashes[problem] = _problem_hash(problem)
        parts = (self._judge_identity, self._problem_hashes[problem], language, code)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def _remember(self, key: str, done: concurrent.futures.Future[Judgement]) -> None:
        with self._lock:
            self._pending.pop(key, None)
            if done.cancelled() or done.exception() is not None:
                return
            judgement = done.result()
            if judgement.verdict is Verdict.IE:
                return
            self._known[key] = judgement
            self._file.write(json.dumps(_to_record(key, judgement)) + "\n")
            self._file.flush()


def _problem_hash(problem: Problem) -> str:
    """Hash of everything a verdict depends on but the program."""
    tests = [[test.input, test.output] for test in problem.tests]
    limits = [problem.time_limit_secs, problem.memory_limit_bytes]
    known: list = [problem.id, problem.fn_name, limits, tests]
    known += [] if problem.checker is None else [problem.checker]
    sources = {"prologue": problem.prologue, "epilogue": problem.epilogue}
    known += [sources] if any(sources.values()) else []
    text = json.dumps(known)
    return hashlib.sha256(text.encode()).hexdigest()


def _resolved(judgement: Judgement) -> concurrent.futures.Future[Judgement]:
    future: concurrent.futures.Future[Judgement] = concurrent.futures.Future()
    future.set_result(judgement)
    return future


def _to_record(key: str, judgement: Judgement) -> dict:
    return {
        "format": _FORMAT,
        "key": key,
        "verdict": judgement.verdict.value,
        "tests": [
            [
                test.verdict.value,
                round(test.cpu_secs, 4),
                round(test.wall_secs, 4),
                test.message,
                test.peak_bytes,
                test.output,
            ]
            for test in judgement.tests
        ],
        "num_tests": judgement.num_tests,
        "backend": judgement.backend,
        "layers": list(judgement.layers),
        "message": judgement.message,
    }


def _from_record(record: dict) -> Judgement:
    return Judgement(
        verdict=Verdict(record["verdict"]),
        tests=tuple(
            TestResult(
                verdict=Verdict(verdict),
                cpu_secs=cpu,
                wall_secs=wall,
                message=message,
                peak_bytes=peak,
                output=output,
            )
            for verdict, cpu, wall, message, peak, output in record["tests"]
        ),
        num_tests=record["num_tests"],
        backend=record["backend"],
        layers=tuple(record["layers"]),
        message=record["message"],
    )


def _read_records(path: Path) -> dict[str, Judgement]:
    if not path.exists():
        return {}
    whole = _whole_lines(path)
    if len(whole) < path.stat().st_size:  # a line cut short by a crash would swallow the next one
        os.truncate(path, len(whole))
    return _records_in(whole)


def _whole_lines(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _records_in(lines: bytes) -> dict[str, Judgement]:
    records = [json.loads(line) for line in lines.splitlines() if line]
    usable = [record for record in records if record.get("format") == _FORMAT]
    return {record["key"]: _from_record(record) for record in usable}
