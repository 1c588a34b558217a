"""A judge in another process of this machine (`spo judge serve`), asked over a socket."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import threading
import time
from typing import Any

from spo_jax.errors import UserError
from spo_jax.judging.asking import ProgramJudge, check_submission
from spo_jax.judging.link import HANDSHAKE_SECS, Link
from spo_jax.judging.pending import PendingJudgement
from spo_jax.judging.wire import (
    MAX_FRAME_BYTES,
    VERSION,
    WireError,
    encode,
    judgement_from_record,
    parse_address,
    problem_to_record,
    record_hash,
)
from spo_jax.types import Judgement, Problem, TestResult, Verdict

_FIRST_PATIENCE_SECS = 5.0  # a server started beside us may need so long
_FIRST_PAUSE_SECS, _LAST_PAUSE_SECS = 0.05, 2.0  # between attempts to connect


class JudgeClient(ProgramJudge):
    """Answers like `Judge`, by a server that several processes share.

    When the server dies and comes back, what it had not answered is submitted again, so that every
    future gets one answer. When it stays away for `patience_secs`, the futures get a UserError.

    Args:
      address: 'unix:/path' or 'tcp:127.0.0.1:port'.
      token: what the server asks for, see `read_token`.
      patience_secs: wall seconds to wait for a server that went away.
    Raises:
      UserError: nobody listens there, or the server refuses us (token, version).
    """

    def __init__(self, address: str, *, token: str | None = None, patience_secs: float = 120.0):
        self._address = parse_address(address)
        self._token = token
        self._patience_secs = patience_secs
        self._changed = threading.Condition(threading.RLock())
        self._unanswered: dict[int, _Asked] = {}  # in order of submission
        self._unsent: collections.deque[int] = collections.deque()
        self._to_cancel: collections.deque[int] = collections.deque()
        self._next_id = 0
        self._share = 1
        self._identity = ""  # of the server, once it has answered
        self._is_closed = False
        self._error: UserError | None = None
        self._hashes: dict[Problem, str] = {}
        self._link: Link | None = self._connect(min(patience_secs, _FIRST_PATIENCE_SECS))
        self._threads = [
            threading.Thread(target=work, name="judge-client", daemon=True)
            for work in (self._receive, self._send)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def num_ahead(self) -> int:
        return max(16, 2 * self._share)

    def submit(
        self,
        problem: Problem,
        code: str | None,
        language: str = "python3",
        *,
        deadline_secs: float | None = None,
    ) -> concurrent.futures.Future[Judgement]:
        """Queues a program, as `Judge.submit` does. It is sent when the server has a place for it.

        Raises:
          UserError: as `Judge.submit`; or the server is gone for good.
        """
        check_submission(problem, language, deadline_secs)
        future = PendingJudgement()
        with self._changed:
            if self._error is not None:
                raise UserError(str(self._error))
            if self._is_closed:
                raise UserError("the judge is closed")
            number = self._next_id
            self._next_id += 1
            self._unanswered[number] = _Asked(problem, code, language, future)
            self._unsent.append(number)
            self._changed.notify_all()
        future.add_done_callback(lambda done: self._withdraw(number) if done.cancelled() else None)
        if deadline_secs is not None:
            self._set_deadline(deadline_secs, number, problem, future)
        return future

    def close(self, *, abort: bool = False) -> None:
        with self._changed:
            waiting = [asked.future for asked in self._unanswered.values()]
        if abort:
            for future in waiting:
                future.settle_cancelled()
        concurrent.futures.wait(waiting)
        with self._changed:
            self._is_closed = True
            link = self._link
            self._changed.notify_all()
        if link is not None:
            link.close()
        for thread in self._threads:
            thread.join()

    def _withdraw(self, number: int) -> None:
        """Forgets a submission; one that was sent is cancelled at the server."""
        with self._changed:
            if self._unanswered.pop(number, None) is None:
                return
            if number in self._unsent:
                self._unsent.remove(number)
            else:
                self._to_cancel.append(number)
            self._changed.notify_all()

    def _set_deadline(
        self, secs: float, number: int, problem: Problem, future: PendingJudgement
    ) -> None:
        def end() -> None:
            message = f"not judged within the deadline of {secs:g} s"
            self._withdraw(number)
            future.settle(
                Judgement(
                    verdict=Verdict.IE,
                    tests=(TestResult(verdict=Verdict.IE, message=message),),
                    num_tests=len(problem.tests),
                    backend=self.backend,
                    layers=self.layers,
                    message=message,
                )
            )

        timer = threading.Timer(secs, end)
        timer.daemon = True
        timer.start()
        future.add_done_callback(lambda _: timer.cancel())

    def _connect(self, patience_secs: float) -> Link:
        """Raises UserError when nobody answers for so long, or we are refused."""
        deadline = time.monotonic() + patience_secs
        pause = _FIRST_PAUSE_SECS
        while True:
            try:
                link = Link(self._address.connect(HANDSHAKE_SECS))
                self._greet(link)
                return link
            except (OSError, EOFError) as error:
                if time.monotonic() + pause > deadline:
                    raise UserError(
                        f"no judge answers at {self._address} (waited {patience_secs:g} s): "
                        f"{error or 'it hung up'}; start one with `spo judge serve`"
                    ) from error
            with self._changed:
                if self._changed.wait_for(lambda: self._is_closed, pause):
                    raise UserError("the judge is closed")
            pause = min(2 * pause, _LAST_PAUSE_SECS)

    def _greet(self, link: Link) -> None:
        link.send({"op": "hello", "version": VERSION, "token": self._token})
        try:
            welcome = link.receive()
            if welcome["op"] == "error":
                raise WireError(welcome.get("message"))
            described = (welcome["backend"], tuple(welcome["layers"]), welcome["identity"])
            self._share = int(welcome["share"])
        except (WireError, KeyError, TypeError, ValueError) as error:
            link.close()
            raise UserError(f"the judge at {self._address} refuses: {error}") from error
        link.socket.settimeout(None)
        if self._identity not in ("", described[2]):
            link.close()
            raise UserError(
                f"the judge at {self._address} came back as another one: it was "
                f"'{self._identity}', now it is '{described[2]}'"
            )
        self.backend, self.layers, self._identity = described

    def _receive(self) -> None:
        """Reads answers; after a loss of the server, connects and submits again."""
        while True:
            link = self._link
            assert link is not None
            try:
                while True:
                    self._handle(link.receive(), link)
            except (EOFError, OSError):
                link.close()
            except WireError as error:
                link.close()
                self._give_up(UserError(f"the judge at {self._address}: {error}"))
                return
            with self._changed:
                self._link = None
                if self._is_closed:
                    return
            try:
                fresh = self._connect(self._patience_secs)
            except UserError as error:
                self._give_up(error)
                return
            with self._changed:
                if self._is_closed:
                    fresh.close()
                    return
                self._unsent = collections.deque(self._unanswered)
                self._to_cancel.clear()
                self._link = fresh
                self._changed.notify_all()

    def _handle(self, message: dict[str, Any], link: Link) -> None:
        kind, number = message["op"], message.get("id")
        if kind == "error":
            raise WireError(message.get("message"))
        if kind == "share":
            with self._changed:
                self._share = int(message["share"])
                self._changed.notify_all()
        elif kind in ("unknown_problem", "cancelled"):
            self._send_again(number, link, forgets_problem=kind == "unknown_problem")
        elif kind == "judgement":
            self._settle(number, judgement_from_record(message["judgement"]))
        elif kind == "failed":
            self._settle(number, UserError(str(message.get("message"))))

    def _settle(self, number: Any, result: Judgement | UserError) -> None:
        with self._changed:
            asked = self._unanswered.pop(number, None)
            self._changed.notify_all()
        if asked is not None:
            asked.future.settle(result)

    def _send_again(self, number: Any, link: Link, *, forgets_problem: bool) -> None:
        """For want of the problem; or a server that ends cancelled what we still want."""
        with self._changed:
            asked = self._unanswered.get(number)
            if asked is None or number in self._unsent:
                return
            if forgets_problem:
                link.known.discard(self._hashes[asked.problem])
            self._unsent.appendleft(number)
            self._changed.notify_all()

    def _give_up(self, error: UserError) -> None:
        with self._changed:
            self._error = error
            waiting = [asked.future for asked in self._unanswered.values()]
            self._unanswered.clear()
            self._unsent.clear()
            self._changed.notify_all()
        for future in waiting:
            future.settle(UserError(str(error)))

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_over() or self._has_work())
                if self._is_over():
                    return
                link, asked = self._link, None
                if self._to_cancel:
                    number = self._to_cancel.popleft()
                else:
                    number = self._unsent.popleft()
                    asked = self._unanswered.get(number)
                    if asked is None:
                        continue
            assert link is not None
            with contextlib.suppress(OSError):  # the receiver hears of it too, and reconnects
                if asked is None:
                    link.send({"op": "cancel", "id": number})
                else:
                    self._send_submission(link, number, asked)

    def _is_over(self) -> bool:
        return self._is_closed or self._error is not None

    def _has_work(self) -> bool:
        if self._link is None:
            return False
        num_sent = len(self._unanswered) - len(self._unsent)
        return bool(self._to_cancel) or (bool(self._unsent) and num_sent < self._share)

    def _send_submission(self, link: Link, number: int, asked: "_Asked") -> None:
        key = self._hashes.get(asked.problem)
        if key is None or key not in link.known:
            record = problem_to_record(asked.problem)
            key = self._hashes[asked.problem] = record_hash(record)
            if not self._fits(link, number, {"op": "problem", "problem": record}):
                return
            link.known.add(key)
        message = {"op": "submit", "id": number, "problem": key}
        self._fits(link, number, {**message, "code": asked.code, "language": asked.language})

    def _fits(self, link: Link, number: int, message: dict[str, Any]) -> bool:
        """Sends, or fails the submission that is too large to be sent."""
        line = encode(message)
        if len(line) <= MAX_FRAME_BYTES:
            link.send_line(line)
            return True
        error = f"{message['op']} of {len(line)} bytes: a judge takes at most {MAX_FRAME_BYTES}"
        self._settle(number, UserError(error))
        return False


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    problem: Problem
    code: str | None
    language: str
    future: PendingJudgement
