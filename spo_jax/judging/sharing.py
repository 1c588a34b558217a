"""One judge for many clients: they take turns, and what waits is bounded."""

import collections
import concurrent.futures
import threading
from collections.abc import Callable

from spo_jax.judging.pool import Judge
from spo_jax.types import Judgement, Problem

Answer = Callable[[Judgement | BaseException | None], None]  # None: cancelled


class Ticket:
    """One submission of one client. `answer` is called once, by any thread."""

    def __init__(self, problem: Problem, code: str | None, language: str, answer: Answer):
        self.problem = problem
        self.code = code
        self.language = language
        self.answer = answer
        self.future: concurrent.futures.Future[Judgement] | None = None  # once it runs
        self.is_cancelled = False


class SharedQueue:
    """Hands waiting submissions to the judge, a client after the other.

    No more than `max_size` submissions are held in all, and by a client no more than its share,
    which is `max_size` divided by the number of clients; and no more than `max_bytes` of programs,
    but for a single one that is longer. A place is taken by `try_reserve` before the client is read
    further, and given back by `release` once the answer is sent.
    """

    def __init__(self, judge: Judge, num_workers: int, max_size: int, max_bytes: int):
        self._judge = judge
        self._num_workers = num_workers
        self.max_size = max_size
        self._max_bytes = max_bytes
        self.changed = threading.Condition(threading.RLock())
        self._waiting: dict[int, collections.deque[Ticket]] = {}  # client -> in order
        self._num_held: dict[int, int] = {}
        self._bytes_held: dict[int, int] = {}
        self._running: dict[Ticket, int] = {}
        self._turn: collections.deque[int] = collections.deque()
        threading.Thread(target=self._dispatch, name="dispatch", daemon=True).start()

    def join(self, client: int) -> bool:
        """False when there would be no place for this client."""
        with self.changed:
            if len(self._waiting) >= self.max_size:
                return False
            self._waiting[client] = collections.deque()
            self._num_held[client] = self._bytes_held[client] = 0
            self._turn.append(client)
            self.changed.notify_all()
            return True

    def leave(self, client: int) -> None:
        """Forgets what the client waits for, and ends its programs."""
        with self.changed:
            self._waiting.pop(client, None)
            self._num_held.pop(client, None)
            self._bytes_held.pop(client, None)
            if client in self._turn:
                self._turn.remove(client)
            running = [ticket for ticket, owner in self._running.items() if owner == client]
            self.changed.notify_all()
        for ticket in running:
            self._end(ticket)

    @property
    def share(self) -> int:
        with self.changed:
            return max(1, self.max_size // max(1, len(self._waiting)))

    @property
    def num_clients(self) -> int:
        return len(self._waiting)

    @property
    def num_waiting(self) -> int:
        with self.changed:
            return sum(len(tickets) for tickets in self._waiting.values())

    @property
    def num_running(self) -> int:
        return len(self._running)

    def try_reserve(self, client: int, num_bytes: int, timeout_secs: float) -> bool:
        """Takes a place for a submission; False when there was none for so long."""

        def has_place() -> bool:
            held = self._num_held.get(client)
            if held is None:
                return False
            num_bytes_held = sum(self._bytes_held.values())
            has_room = not num_bytes_held or num_bytes_held + num_bytes <= self._max_bytes
            return held < self.share and sum(self._num_held.values()) < self.max_size and has_room

        with self.changed:
            if not self.changed.wait_for(has_place, timeout_secs):
                return False
            self._num_held[client] += 1
            self._bytes_held[client] += num_bytes
            return True

    def release(self, client: int, num_bytes: int) -> None:
        with self.changed:
            if client in self._num_held:
                self._num_held[client] -= 1
                self._bytes_held[client] -= num_bytes
            self.changed.notify_all()

    def add(self, client: int, ticket: Ticket) -> None:
        with self.changed:
            if client in self._waiting:
                self._waiting[client].append(ticket)
                self.changed.notify_all()

    def cancel(self, client: int, ticket: Ticket) -> None:
        with self.changed:
            tickets = self._waiting.get(client, collections.deque())
            was_waiting = ticket in tickets
            if was_waiting:
                tickets.remove(ticket)
                self.changed.notify_all()
        if was_waiting:
            ticket.answer(None)
        else:
            self._end(ticket)

    def wait_until_idle(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self._running and self.num_waiting == 0)

    def _dispatch(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(
                    lambda: len(self._running) < self._num_workers and self.num_waiting > 0
                )
                client, ticket = self._take()
                self._running[ticket] = client
            self._start(ticket)

    def _take(self) -> tuple[int, Ticket]:
        """The next submission of the client whose turn it is, of those that wait."""
        while True:
            client = self._turn[0]
            self._turn.rotate(-1)
            if self._waiting[client]:
                return client, self._waiting[client].popleft()

    def _start(self, ticket: Ticket) -> None:
        try:
            future = self._judge.submit(ticket.problem, ticket.code, ticket.language)
        except Exception as error:
            self._finish(ticket, error)
            return
        with self.changed:
            ticket.future = future
            is_cancelled = ticket.is_cancelled
        future.add_done_callback(lambda done: self._finish(ticket, _result_of(done)))
        if is_cancelled:  # while it was handed over
            future.cancel()

    def _finish(self, ticket: Ticket, result: Judgement | BaseException | None) -> None:
        ticket.answer(result)  # before it stops counting as running: draining waits for that
        with self.changed:
            self._running.pop(ticket, None)
            self.changed.notify_all()

    def _end(self, ticket: Ticket) -> None:
        with self.changed:
            ticket.is_cancelled = True
            future = ticket.future
        if future is not None:
            future.cancel()


def _result_of(done: concurrent.futures.Future[Judgement]) -> Judgement | BaseException | None:
    if done.cancelled():
        return None
    return done.exception() or done.result()
