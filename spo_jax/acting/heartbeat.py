"""An actor's report of itself, repeated by a thread of its own, and its claim to its name.

Two actors of one name would sample the same problems with the same seeds and write to the same
folder. A second one is refused: by a lock on the file system, and where the first may be on another
machine or the files lie in a bucket, because the first one's reports go on. Should both get past
that, each sees the other's reports in place of its own and stops, and the store takes no commit
twice under one number.
"""

import contextlib
import dataclasses
import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import (
    ACTORS_FOLDER,
    ActorState,
    ActorStatus,
    actor_file,
    read_actor,
    write_actor,
)
from spo_jax.errors import UserError


class Heartbeat:
    """Inside `with`, an actor's status is written every `every_secs` seconds.

    Args:
      files: shared with the learner.
      actor_id: the actor's name.
      every_secs: between two reports.

    Raises (on entering):
      UserError: an actor of that name is alive.
    """

    def __init__(self, files: SharedFiles, actor_id: str, *, every_secs: float):
        self._files = files
        self._every_secs = every_secs
        self._status = ActorStatus(
            actor_id=actor_id,
            nonce=secrets.token_hex(8),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        self._since = time.monotonic()
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=f"heartbeat-{actor_id}")
        self._thread.daemon = True
        self._lock_file: IO[str] | None = None
        self._error: Exception | None = None

    def __enter__(self) -> "Heartbeat":
        self._claim()
        self._since = time.monotonic()
        write_actor(self._files, self._status)
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._ended.set()
        self._thread.join()
        detail = f"{type(error).__name__}: {error}"[:300] if isinstance(error, Exception) else ""
        self._enter("ended")
        with self._mutex:
            self._status = dataclasses.replace(self._status, detail=detail)
        if self._error is None:
            self._report()
        if self._lock_file is not None:
            self._lock_file.close()

    @property
    def status(self) -> ActorStatus:
        """As of now."""
        with self._mutex:
            return self._counted()

    def check(self) -> None:
        """Raises what the reporting thread found: another actor of this name, for example."""
        if self._error is not None:
            raise self._error

    @contextlib.contextmanager
    def doing(self, state: ActorState) -> Iterator[None]:
        """Inside, the actor is in that state and its seconds count there."""
        before = self._status.state
        self._enter(state)
        try:
            yield
        finally:
            self._enter(before)

    def update(self, **changes: Any) -> None:
        """Sets fields of the status."""
        with self._mutex:
            self._status = dataclasses.replace(self._status, **changes)

    def _enter(self, state: ActorState) -> None:
        with self._mutex:
            self._status = dataclasses.replace(self._counted(), state=state)
            self._since = time.monotonic()

    def _counted(self) -> ActorStatus:
        """The status with the seconds of the present state."""
        name, secs = self._status.state, dict(self._status.secs)
        secs[name] = secs.get(name, 0.0) + time.monotonic() - self._since
        return dataclasses.replace(self._status, secs=secs)

    def _claim(self) -> None:
        actor_id, path = self._status.actor_id, self._files.local_path
        if path is not None:
            (path / ACTORS_FOLDER).mkdir(parents=True, exist_ok=True)
            lock = (path / ACTORS_FOLDER / f"{actor_id}.lock").open("w", encoding="utf-8")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                raise self._taken(read_actor(self._files, actor_id)) from None
            self._lock_file = lock
        before = read_actor(self._files, actor_id)
        if before is None or before.state == "ended":
            return
        if path is not None and before.host == self._status.host:
            return  # it held the lock, and does not any more
        time.sleep(2 * self._every_secs + 1)
        now = read_actor(self._files, actor_id)
        if now is not None and (now.nonce, now.beat) != (before.nonce, before.beat):
            raise self._taken(now)

    def _taken(self, other: ActorStatus | None) -> UserError:
        where = f" (process {other.pid} on {other.host})" if other is not None else ""
        return UserError(
            f"actor_id '{self._status.actor_id}' is in use in '{self._files.url}'{where}: "
            "give each actor a name of its own"
        )

    def _repeat(self) -> None:
        while not self._ended.wait(self._every_secs):
            try:
                now = self._files.read(actor_file(self._status.actor_id))
                if now is not None and now.get("nonce") != self._status.nonce:
                    self._error = self._taken(ActorStatus(**now))
                    return
                self._report()
            except OSError:
                continue  # the disk or the network; the learner sees the silence
            except Exception as error:
                self._error = error
                return

    def _report(self) -> None:
        with self._mutex:
            self._status = dataclasses.replace(self._status, beat=self._status.beat + 1)
            status = self._counted()
        write_actor(self._files, status)
