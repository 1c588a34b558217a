"""Several servers that are asked as one: who gets the next request, and with which weights.

A server has at most `max_concurrent` requests of ours, all for the policy it serves. When another
policy is wanted it gets no more, is reloaded once the last has come back, and goes on.
"""

import collections
import contextlib
import dataclasses
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from spo_jax.acting.engines.connection import Cancelled, Canceller, Endpoint, ServerFailure
from spo_jax.acting.engines.policy import PublishedPolicy
from spo_jax.acting.engines.reloading import Reload
from spo_jax.errors import EnginesLostError, UserError

_HEALTH_SECS = 10.0  # what a living server takes to say so
_LOOK_SECS = 0.25
_FAILURES_TO_DEATH = 3  # in a row, of a server that says it is healthy


@dataclasses.dataclass(slots=True, eq=False)
class Server:
    """One server, as its pool sees it. Guarded by the pool's lock.

    Attributes:
      endpoint: its address.
      policy: that it serves, None where that is unknown.
      num_running: our requests on it.
      is_away: somebody is reloading it, or looking whether it is alive.
      retry_at: when a dead server is looked at again, monotonic seconds; None while it lives.
      num_failures: in a row. was_named: as dead, to the user. last_failure: for the message when
        none is left.
    """

    endpoint: Endpoint
    policy: PublishedPolicy | None = None
    num_running: int = 0
    is_away: bool = False
    retry_at: float | None = None
    num_failures: int = 0
    was_named: bool = False
    last_failure: str = "not asked yet"


class ServerPool:
    """Leases servers to requests.

    Args:
      endpoints: at least one.
      reload: makes a server serve another policy; None where the servers never change theirs.
      max_concurrent: requests on one server.
      reload_timeout_secs: of one reload.
      patience_secs: how long all servers may be dead.
      retry_secs: between two looks at a dead server.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        reload: Reload | None,
        max_concurrent: int,
        reload_timeout_secs: float,
        patience_secs: float,
        retry_secs: float,
    ):
        self.servers = [Server(endpoint) for endpoint in endpoints]
        self.capacity = max_concurrent * len(self.servers)
        self.names_version = reload is not None and reload.names_version
        self._reload = reload
        self._max_concurrent = max_concurrent
        self._reload_timeout_secs = reload_timeout_secs
        self._patience_secs = patience_secs
        self._retry_secs = retry_secs
        self._changed = threading.Condition()
        self._num_waiting: collections.Counter[PublishedPolicy] = collections.Counter()
        self._only_policy: PublishedPolicy | None = None
        self._refusal: UserError | None = None  # of a reload, for whoever waits
        self._closing = Canceller()  # of work that outlives a request

    @contextlib.contextmanager
    def lease(self, policy: PublishedPolicy, canceller: Canceller) -> Iterator[Server]:
        """A living server that serves the policy, for one request. Waits for one.

        A ServerFailure inside is counted against the server, and raised.

        Raises:
          UserError: no server has been alive for `patience_secs`, or none can serve the policy.
          Cancelled: by the canceller.
        """
        self._check_policy(policy)
        server = self._wait_for(policy, canceller)
        try:
            yield server
        except ServerFailure as failure:
            self._note(server, failure, canceller)
            raise
        else:
            with self._changed:
                server.num_failures = 0
        finally:
            with self._changed:
                server.num_running -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Cuts off reloads."""
        self._closing.cancel()

    def forget_policy(self, server: Server) -> None:
        """Has it reloaded: it turned out to serve something else."""
        with self._changed:
            server.policy = None

    def look(self, server: Server, canceller: Canceller) -> bool:
        """Asks a server whether it is alive, and notes it."""
        is_alive = self._is_healthy(server, canceller)
        if is_alive:
            self._revive(server)
        return is_alive

    def wait_for_any(self, canceller: Canceller) -> list[Server]:
        """The living servers, once there is one."""
        deadline = time.monotonic() + self._patience_secs
        while True:
            living = [server for server in self.servers if self.look(server, canceller)]
            if living:
                return living
            if time.monotonic() > deadline:
                raise self._all_dead()
            canceller.wait(min(self._retry_secs, self._patience_secs))

    def _wait_for(self, policy: PublishedPolicy, canceller: Canceller) -> Server:
        with self._changed:
            self._num_waiting[policy] += 1
        try:
            return self._ready_server(policy, canceller)
        finally:
            with self._changed:
                self._num_waiting[policy] -= 1

    def _ready_server(self, policy: PublishedPolicy, canceller: Canceller) -> Server:
        dead_since: float | None = None
        while True:
            if canceller.is_cancelled:
                raise Cancelled
            now = time.monotonic()
            with self._changed:
                refusal, self._refusal = self._refusal, None
                if refusal is not None:
                    raise refusal
                self._start_work(policy, now)
                server = self._least_busy(policy)
                if server is not None:
                    server.num_running += 1
                    return server
                if any(s.retry_at is None for s in self.servers):
                    dead_since = None
                elif dead_since is None:
                    dead_since = now
                elif now - dead_since > self._patience_secs:
                    raise self._all_dead()
                self._changed.wait(_LOOK_SECS)

    def _least_busy(self, policy: PublishedPolicy) -> Server | None:
        ready = [
            s
            for s in self.servers
            if s.retry_at is None
            and not s.is_away
            and s.policy == policy
            and s.num_running < self._max_concurrent
        ]
        return min(ready, key=lambda s: s.num_running, default=None)

    def _start_work(self, policy: PublishedPolicy, now: float) -> None:
        """Starts to reload what serves another policy, and to look at what was dead.

        In threads of their own: meanwhile the other servers go on.
        """
        for server in self.servers:
            if server.is_away or server.num_running:
                continue
            is_due = server.retry_at is not None and server.retry_at <= now
            # As long as somebody waits for what it serves, it is not reloaded to and fro.
            is_wanted = server.policy is not None and self._num_waiting[server.policy] > 0
            is_stale = server.retry_at is None and server.policy != policy
            if is_due or (is_stale and not is_wanted):
                server.is_away = True
                threading.Thread(
                    target=self._make_ready, args=(server, policy), name="engine-work", daemon=True
                ).start()

    def _make_ready(self, server: Server, policy: PublishedPolicy) -> None:
        """Has an idle server serve the policy. It counts as alive when all of that went well."""
        try:
            if server.retry_at is not None and not self._is_healthy(server, self._closing):
                return
            if self._reload is not None:
                with self._changed:
                    server.policy = None  # until it is confirmed
                self._reload(server.endpoint, policy, self._reload_timeout_secs, self._closing)
            self._revive(server)
            with self._changed:
                server.policy = policy
        except ServerFailure as failure:
            self._bury(server, f"reload of policy {policy.version}: {failure}")
        except UserError as error:
            with self._changed:
                self._refusal = error
        except Cancelled:
            pass
        finally:
            with self._changed:
                server.is_away = False
                self._changed.notify_all()

    def _is_healthy(self, server: Server, canceller: Canceller) -> bool:
        try:
            server.endpoint.get("/health", _HEALTH_SECS, canceller)
        except ServerFailure as failure:
            self._bury(server, str(failure))
            return False
        except UserError:
            pass  # it has no such page, but it answers
        return True

    def _revive(self, server: Server) -> None:
        with self._changed:
            if server.retry_at is not None and server.was_named:
                say(f"engine {server.endpoint.url} is back")
            server.retry_at, server.num_failures, server.was_named = None, 0, False
            self._changed.notify_all()

    def _note(self, server: Server, failure: ServerFailure, canceller: Canceller) -> None:
        """A failed request: is the server dead, or was it the request?"""
        with self._changed:
            server.num_failures += 1
            server.last_failure = str(failure)
            is_hopeless = server.num_failures >= _FAILURES_TO_DEATH
            if server.retry_at is not None or server.is_away:
                return
        if is_hopeless:
            self._bury(server, f"{_FAILURES_TO_DEATH} failures in a row, the last: {failure}")
        else:
            with contextlib.suppress(Cancelled):
                self._is_healthy(server, canceller)

    def _bury(self, server: Server, why: str) -> None:
        """Marks a server as dead. It is named once, until it has come back."""
        with self._changed:
            if not server.was_named:
                say(f"engine {server.endpoint.url} is left out, and tried again later: {why}")
            server.was_named = True
            server.retry_at = time.monotonic() + self._retry_secs
            server.last_failure = why
            server.policy = None
            self._changed.notify_all()

    def _check_policy(self, policy: PublishedPolicy) -> None:
        """Servers that are never reloaded serve one policy, the first that was asked for."""
        if self._reload is not None:
            return
        with self._changed:
            self._only_policy = self._only_policy or policy
        if policy != self._only_policy:
            raise UserError(
                f"policy {policy.version} is wanted, but EngineSettings.reload is None and the "
                f"engine serves policy {self._only_policy.version}: bind a reload, or set "
                "policy_sync_every beyond the last update"
            )

    def _all_dead(self) -> EnginesLostError:
        reasons = "; ".join(f"{s.endpoint.url}: {s.last_failure}" for s in self.servers)
        return EnginesLostError(
            f"no engine of {len(self.servers)} is alive (waited {self._patience_secs:g} s): "
            f"{reasons}"
        )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
