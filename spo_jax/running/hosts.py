"""The processes of one run: how they find each other, agree, and notice that one is gone.

Every process runs the same program in the same order. What they tell each other goes through JAX's
coordination service, which process 0 serves and which needs no device: values are small JSON. A
process that waits for another looks after it meanwhile, so that a death ends the run with a
message that names the process, in bounded time, and not in a hang.
"""

import contextlib
import hashlib
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

import jax
from jax._src import distributed  # the client has no public name; Orbax takes it from here too

from spo_jax.errors import UserError
from spo_jax.running.stopping import Stopped

T = TypeVar("T")

_PREFIX = "spo_jax"
_SLICE_SECS = 1.0  # between two looks at what has become of the others
_BEAT_SECS = 2.0
_GRACE_SECS = 10.0
_LAG_SECS = 30.0  # after which a network disk shows what another host wrote
_LOST_STATUS = 1
_NOWHERE = open(os.devnull, "w")  # noqa: SIM115
_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


class HostsError(RuntimeError):
    """Another process of the run failed, died or went another way; this one cannot go on."""


class Client(Protocol):
    """What is used of the coordination service's client. Keys that are not there raise."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None: ...
    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str: ...
    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]: ...
    def key_value_delete(self, key: str) -> None: ...


class Hosts:
    """The processes of a run; by default this one alone.

    `gather`, `broadcast`, `barrier` and `any` are called by every process, in the same order.

    Attributes:
      index, count: of this process, of all.
    """

    def __init__(
        self,
        index: int = 0,
        count: int = 1,
        client: Client | None = None,
        *,
        dead_after_secs: float = 60.0,
        wait_secs: float = 3600.0,
    ):
        """Starts to watch the others.

        Args:
          index, count: of this process, of all.
          client: of the coordination service; None for a process alone.
          dead_after_secs: without a sign of life, after which another process counts as dead.
          wait_secs: longest wait for a process that is alive.
        """
        if count > 1 and client is None:
            raise UserError(f"{count} processes need a coordination service")
        self.index, self.count = index, count
        self._client = client
        self._wait_secs = wait_secs
        self._round = 0
        self._watch = None
        if client is not None and count > 1:
            self._watch = _Watch(client, index, count, dead_after_secs)

    @property
    def is_main(self) -> bool:
        """Whether this process writes what a run has only one of."""
        return self.index == 0

    @property
    def stream(self) -> TextIO:
        """Where progress goes: one process's is enough for a person."""
        return sys.stderr if self.is_main else _NOWHERE

    @property
    def stop_requested(self) -> bool:
        """Whether some process was asked to stop; known within seconds, not agreed upon."""
        return self._watch is not None and self._watch.stop_requested

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part of what all have: every `count`-th item."""
        return list(items[self.index :: self.count])

    def gather(self, name: str, value: Any = None) -> list[Any]:
        """Every process's value, by index, once all have given theirs.

        Args:
          name: of the place in the program, for errors.
          value: what `json` can hold, at most a megabyte or so.

        Raises:
          HostsError: a process has failed or died, is at another place, or does not come.
        """
        if self._client is None or self.count == 1:
            return [value]
        self._round += 1
        key = f"{_PREFIX}/round/{self._round}"
        self._client.key_value_set(f"{key}/{self.index}", json.dumps([name, value]))
        if self.is_main:
            given = [json.loads(self._wait(f"{key}/{i}", name, i)) for i in range(self.count)]
            # All have come here, so all have read what the round before had to say.
            self._client.key_value_delete(f"{_PREFIX}/round/{self._round - 1}/")
            self._client.key_value_set(f"{key}/all", json.dumps(given))
        else:
            given = json.loads(self._wait(f"{key}/all", name, 0))
        places = [place for place, _ in given]
        if set(places) != {name}:
            raise HostsError(f"the processes are at different places: {dict(enumerate(places))}")
        return [each for _, each in given]

    def broadcast(self, name: str, value: Any = None) -> Any:
        """The main process's value, on all."""
        return self.gather(name, value if self.is_main else None)[0]

    def barrier(self, name: str) -> None:
        """Returns when all processes have come here."""
        self.gather(name)

    def any(self, name: str, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        return any(self.gather(name, flag))

    def check_same(self, what: str, value: Any) -> None:
        """Raises HostsError on every process unless all have the same value."""
        text = json.dumps(value, sort_keys=True, default=str)
        digests = self.gather(f"same {what}", hashlib.sha256(text.encode()).hexdigest()[:16])
        others = [i for i, digest in enumerate(digests) if digest != digests[0]]
        if others:
            raise HostsError(
                f"processes {others} of {self.count} have another {what} than process 0; all "
                "must run the same command on the same code and see the same run directory"
            )

    def check_shared(self, folder: Path) -> None:
        """Raises UserError on every process unless all see a folder that the main one sees."""
        if self.count == 1:
            return
        mark = folder / f".seen-{self.broadcast('mark', secrets.token_hex(8))}"
        if self.is_main:
            folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
        self.barrier("marked")
        deadline = time.monotonic() + _LAG_SECS
        while not mark.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        seen = self.gather("mark seen", mark.exists())
        if self.is_main:
            mark.unlink()
        if blind := [i for i, sees in enumerate(seen) if not sees]:
            raise UserError(
                f"processes {blind} of {self.count} do not see '{folder}' of process 0; all hosts "
                "need one shared directory (NFS, or a mounted bucket)"
            )

    def announce_stop(self) -> None:
        """Tells the others that this process was asked to stop."""
        if self._watch is not None:
            self._watch.announce("stop", "requested")

    def fail(self, error: BaseException) -> None:
        """Tells the others that this process cannot go on; it must leave soon after."""
        if self._watch is None:
            return
        self._watch.leave(f"{type(error).__name__}: {error}")
        if self.is_main:
            time.sleep(2 * _BEAT_SECS)  # the service ends with this process: let them read
        # JAX waits at exit for the others, who may hang in a collective with this process.
        timer = threading.Timer(_GRACE_SECS, os._exit, (_LOST_STATUS,))
        timer.daemon = True
        timer.start()

    def explain(self, error: BaseException) -> BaseException:
        """The reason behind an error of a collective: often another process's death."""
        if self._watch is None or not isinstance(error, jax.errors.JaxRuntimeError):
            return error
        lost = self._watch.wait_for_loss()
        return error if lost is None else HostsError(lost)

    def close(self) -> None:
        """The process leaves in peace."""
        if self._watch is not None:
            self._watch.close()

    def _wait(self, key: str, name: str, process: int) -> str:
        """A value that another process sets; looks every second whether it still can."""
        assert self._client is not None and self._watch is not None
        start = time.monotonic()
        while True:
            try:
                return self._client.blocking_key_value_get(key, int(1000 * _SLICE_SECS))
            except jax.errors.JaxRuntimeError as error:
                if self._watch.lost is not None:
                    raise HostsError(self._watch.lost) from None
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
            if process in self._watch.left:
                raise HostsError(f"process {process} of {self.count} left before '{name}'")
            waited = time.monotonic() - start
            if waited > self._wait_secs:
                raise HostsError(
                    f"process {process} of {self.count} is alive but did not come to '{name}' "
                    f"within {self._wait_secs:.0f} s"
                )


class _Watch:
    """A thread that shows that this process lives, and looks whether the others do.

    When one is gone and the main thread does not notice, because it hangs in a collective, the
    thread ends the process after some seconds.
    """

    def __init__(self, client: Client, index: int, count: int, dead_after_secs: float):
        self.lost: str | None = None
        self.stop_requested = False
        self.left: set[int] = set()
        self._client, self._index, self._count = client, index, count
        self._dead_after_secs = dead_after_secs
        self._closed = threading.Event()
        self._seen = {i: ("", time.monotonic()) for i in range(count) if i != index}
        self._beats = 0
        self._thread = threading.Thread(target=self._run, name="hosts", daemon=True)
        self._thread.start()

    def announce(self, what: str, text: str) -> None:
        self._client.key_value_set(f"{_PREFIX}/{what}/{self._index}", text, allow_overwrite=True)

    def leave(self, reason: str) -> None:
        self.close()
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # the service may be gone as well
            self.announce("failed", reason)

    def close(self) -> None:
        self._closed.set()
        self._thread.join(_GRACE_SECS)
        if self.lost is None:
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                self.announce("beat", "closed")

    def wait_for_loss(self) -> str | None:
        deadline = time.monotonic() + self._dead_after_secs + 2 * _BEAT_SECS
        while self.lost is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.lost

    def _run(self) -> None:
        while not self._closed.wait(_BEAT_SECS):
            try:
                self._beats += 1
                self.announce("beat", str(self._beats))
                self.lost = self._find_loss()
            except jax.errors.JaxRuntimeError:
                self.lost = self._lost(0, "is gone, and the coordination service with it")
            if self.lost is not None:
                self._end_if_stuck()
                return

    def _find_loss(self) -> str | None:
        found = self._read("failed")
        if found:
            process, reason = min(found.items())
            return self._lost(process, f"stopped: {reason}")
        self.stop_requested |= bool(self._read("stop"))
        beats, now = self._read("beat"), time.monotonic()
        for process, (last, when) in self._seen.items():
            beat = beats.get(process, "")
            if beat != last:
                self._seen[process] = (beat, now)
            elif beat == "closed":
                self.left.add(process)
            elif now - when > self._dead_after_secs:
                return self._lost(
                    process, f"gave no sign of life for {now - when:.0f} s: killed, or cut off"
                )
        return None

    def _lost(self, process: int, what: str) -> str:
        return f"process {process} of {self._count} {what}"

    def _read(self, what: str) -> Mapping[int, str]:
        entries = self._client.key_value_dir_get(f"{_PREFIX}/{what}/")
        found = {int(key.rpartition("/")[2]): value for key, value in entries}
        return {process: value for process, value in found.items() if process != self._index}

    def _end_if_stuck(self) -> None:
        """Gives the main thread time to leave by itself."""
        if self._closed.wait(_GRACE_SECS):
            return
        print(f"error: {self.lost}; this process ends too", file=sys.stderr, flush=True)
        os._exit(_LOST_STATUS)


@contextlib.contextmanager
def joined(distributed_run: bool, *, dead_after_secs: float = 60.0) -> Iterator[Hosts]:
    """Inside `with`, this process is one of a run's; to be entered before JAX is used.

    On a TPU slice (or under Slurm, Open MPI) JAX finds the others. Elsewhere three environment
    variables say who they are: JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES
    and JAX_PROCESS_ID.

    Args:
      distributed_run: False for a process alone.
      dead_after_secs: without a sign of life, after which another process counts as dead.

    Raises:
      UserError: some variables are missing or no numbers, or nothing tells who the others are.
      HostsError: another process failed or died.
    """
    if not distributed_run:
        yield Hosts()
        return
    _initialize(_addresses(os.environ))
    client = distributed.global_state.client
    hosts = Hosts(jax.process_index(), jax.process_count(), client, dead_after_secs=dead_after_secs)
    try:
        yield hosts
    except Exception as error:
        reason = hosts.explain(error)
        hosts.fail(reason)
        if reason is error:
            raise
        raise reason from error
    except Stopped:  # agreed by all
        hosts.close()
        raise
    except BaseException as error:
        hosts.fail(error)
        raise
    else:
        hosts.close()


def _addresses(environ: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of `jax.distributed.initialize`; empty where JAX is to find out by itself."""
    given = [name for name in _VARIABLES if environ.get(name)]
    if not given:
        return {}
    if len(given) < len(_VARIABLES):
        missing = [name for name in _VARIABLES if name not in given]
        raise UserError(
            f"--distributed: {', '.join(given)} is set but {', '.join(missing)} is not; set all "
            f"of {', '.join(_VARIABLES)}, or none where JAX finds the processes by itself"
        )
    address, *numbers = (environ[name] for name in _VARIABLES)
    if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdigit():
        raise UserError(f"{_VARIABLES[0]}='{address}' must be host:port of process 0")
    for name, text in zip(_VARIABLES[1:], numbers, strict=True):
        if not text.isdigit():
            raise UserError(f"{name}='{text}' must be a whole number")
    count, index = map(int, numbers)
    if index >= count:
        raise UserError(f"JAX_PROCESS_ID={index} must be below JAX_NUM_PROCESSES={count}")
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def _initialize(addresses: Mapping[str, Any]) -> None:
    # Collectives between CPU processes; other backends have their own.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Stops are agreed upon by `Hosts`; JAX's own handler of SIGTERM would compete.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**addresses)
    except ValueError as error:
        raise UserError(
            f"--distributed: JAX does not find the other processes here ({error}); set "
            f"{', '.join(_VARIABLES)}"
        ) from None
    except jax.errors.JaxRuntimeError as error:  # another process is late, or away
        raise HostsError(
            f"--distributed: process {addresses.get('process_id', '')} cannot join at "
            f"{addresses.get('coordinator_address', 'the detected address')}: "
            f"{str(error).splitlines()[0]}"
        ) from None
