"""The process in which libraries score answers: `python -m spo_jax.judging.scoring_program KIND`.

One JSON object a line in, one out. A 'score' runs in a fork, so that no answer can change what the
next one meets, and is ended after its seconds. What libraries print goes to standard error.
"""

import functools
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

_MEMORY_BYTES = 4 << 30  # address space of one scoring


def main(kind: str) -> None:
    """Answers until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    handlers = {"math_verify": _math_handlers, "reasoning_gym": _gym_handlers}[kind]()
    _reply(replies, {"ready": kind})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = _answer(handlers, request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        _reply(replies, reply)


def _reply(stream: TextIO, reply: dict[str, Any]) -> None:
    stream.write(json.dumps(reply) + "\n")
    stream.flush()


def _answer(handlers: dict[str, Callable[..., Any]], request: dict[str, Any]) -> dict[str, Any]:
    arguments = request["arguments"]
    if request["do"] != "score":
        return {"value": handlers[request["do"]](**arguments)}
    answer = arguments.pop("answer")
    score = handlers["score"](**arguments)  # not the answer's doing, if this fails
    return _forked(lambda: float(score(answer)), request["limit_secs"])


def _forked(score: Callable[[], float], limit_secs: float) -> dict[str, Any]:
    """The score, or why the answer has none."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _score_and_exit(score, write_end)
    os.close(write_end)
    text, in_time = _read_until(read_end, time.monotonic() + limit_secs)
    os.close(read_end)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if not in_time:
        return {"score": 0.0, "message": f"scoring took more than {limit_secs:g} s"}
    return json.loads(text) if text else {"score": 0.0, "message": "scoring ended early"}


def _score_and_exit(score: Callable[[], float], write_end: int) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        try:
            reply: dict[str, Any] = {"score": score()}
        except BaseException as error:
            name = type(error).__name__
            reply = {"score": 0.0, "message": f"scoring failed: {name}: {error}"[:300]}
        os.write(write_end, json.dumps(reply).encode())
    finally:
        os._exit(0)


def _read_until(descriptor: int, deadline: float) -> tuple[bytes, bool]:
    """What is written up to the end, and whether that came in time."""
    text = b""
    while (remaining := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], remaining)[0]:
            continue
        part = os.read(descriptor, 65536)
        if not part:
            return text, True
        text += part
    return text, False


def _math_handlers() -> dict[str, Callable[..., Any]]:
    import math_verify

    parse = functools.partial(math_verify.parse, parsing_timeout=None)

    def score(expected: str) -> Callable[[str], float]:
        gold = parse(f"${expected}$") or parse(expected)
        if not gold:
            raise ValueError(f"math-verify cannot read the expected answer {expected[:60]!r}")
        return lambda answer: math_verify.verify(gold, parse(answer), timeout_seconds=None)

    return {"score": score}


def _gym_handlers() -> dict[str, Callable[..., Any]]:
    import reasoning_gym

    @functools.lru_cache(maxsize=8)
    def dataset(name: str, size: int, seed: int, options: str) -> Any:
        return reasoning_gym.create_dataset(name, size=size, seed=seed, **json.loads(options))

    def names() -> list[str]:
        return sorted(reasoning_gym.factory.DATASETS)

    def questions(name: str, size: int, seed: int, options: str) -> list[list[str | None]]:
        entries = (dataset(name, size, seed, options)[index] for index in range(size))
        return [
            [entry["question"], None if entry["answer"] is None else str(entry["answer"])]
            for entry in entries
        ]

    @functools.lru_cache(maxsize=1024)
    def entry_of(index: int, **made: Any) -> Any:
        return dataset(**made)[index]

    def score(index: int, question: str, **made: Any) -> Callable[[str], float]:
        entry = entry_of(index, **made)
        if entry["question"] != question:
            raise ValueError("this reasoning-gym makes other questions than the problem's")
        return lambda answer: dataset(**made).score_answer(answer, entry)

    return {"names": names, "questions": questions, "score": score}


if __name__ == "__main__":
    main(sys.argv[1])
