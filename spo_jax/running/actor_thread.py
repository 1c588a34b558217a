"""The run's own actor, in a thread beside the learner."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import jax

from spo_jax.acting.actor_loop import ActorLoop
from spo_jax.acting.heartbeat import Heartbeat
from spo_jax.acting.policy_sources import HandedPolicies, Policy
from spo_jax.acting.signals import LearnerStatus


class ActorThread:
    """Runs an actor's loop; what it raises, `check` raises in the learner.

    Args:
      build: makes the loop, given where the learner's reports come from.
      policies: what the learner hands over.
      heartbeat: of the actor; entered here, so that a name in use is refused at once.
      device: of the actor's arrays; None is the default device.
    """

    def __init__(
        self,
        build: Callable[[Callable[[], LearnerStatus | None]], ActorLoop],
        policies: HandedPolicies,
        heartbeat: Heartbeat,
        device: Any = None,
    ):
        self._learner: LearnerStatus | None = None
        self._loop = build(lambda: self._learner)
        self._policies = policies
        self._heartbeat = heartbeat
        self._device = device
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._has_started = False
        self._thread = threading.Thread(target=self._run, name="actor", daemon=True)

    def start(self) -> None:
        """Starts once. Raises UserError where another actor has this name."""
        if self._has_started:
            return
        self._has_started = True
        self._heartbeat.__enter__()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what it had under way is dropped."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Raises what ended the thread, if something did."""
        if self._failure is not None:
            raise self._failure

    def tell(self, status: LearnerStatus) -> None:
        self._learner = status

    def hand(self, policy: Policy) -> None:
        self._policies.hand(policy)

    def _run(self) -> None:
        place = jax.default_device(self._device) if self._device else contextlib.nullcontext()
        try:
            with contextlib.ExitStack() as stack:
                stack.push(self._heartbeat.__exit__)
                stack.enter_context(place)
                self._loop.run(self._stopping.is_set)
        except BaseException as failure:
            self._failure = failure
