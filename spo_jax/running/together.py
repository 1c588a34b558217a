"""What the processes of a run do together between its computations: share, agree, stop."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spo_jax.acting.evaluator import EvaluationSettings, merge_evaluation, sample_evaluation
from spo_jax.acting.rollouts import RolloutWorker
from spo_jax.errors import EnginesLostError
from spo_jax.reporting.progress import Progress, say
from spo_jax.running.hosts import Hosts
from spo_jax.running.stopping import Stopped, StopRequest
from spo_jax.trajectories import TrajectoryStore, Watermark
from spo_jax.types import Problem

_LAG_SECS = 90.0


class Together:
    """Every process calls the same methods in the same order.

    Args:
      hosts: the processes. stop: whether this one was asked to stop. Both are attributes, too.
    """

    def __init__(self, hosts: Hosts, stop: StopRequest):
        self.hosts = hosts
        self.stop = stop

    def do_shares(self, name: str, work: Callable[[], Any]) -> list[Any]:
        """What the processes' shares of some work gave.

        All stop if one was asked to, and all have lost their engines if one has.

        Args:
          name: of the work, for errors.
          work: calls `leave_if_stopped` now and then; returns what `json` can hold.
        """
        result, stopped, lost = None, False, ""
        try:
            result = work()
        except Stopped:
            stopped = True
        except EnginesLostError as error:
            if self.hosts.count == 1:
                raise
            lost = str(error) or "no engine is alive"
        told = self.hosts.gather(name, [stopped, lost, result])
        if any(is_stopped for is_stopped, *_ in told):
            raise Stopped
        if texts := [text for _, text, _ in told if text]:
            raise EnginesLostError(texts[0])
        return [each for *_, each in told]

    def leave_if_stopped(self) -> None:
        """Within a share: leaves it if any process was asked to stop, and lets the others know."""
        if self.stop.requested:
            self.hosts.announce_stop()
            raise Stopped
        if self.hosts.stop_requested:
            raise Stopped

    def check_stop(self) -> None:
        """Raises Stopped on all processes at once if any was asked to stop."""
        if self.hosts.any("stop", self.stop.requested):
            raise Stopped

    def watermark(self, store: TrajectoryStore) -> Watermark | None:
        """Everything committed by any process; None for a process alone: as the store says.

        Each knows how many of its own commits count; of other writers the main one tells. On a
        network disk, what others committed may show up late: it is waited for. (If it does not
        come, the batches that the processes draw differ, which `Hosts.check_same` finds.)
        """
        if self.hosts.count == 1:
            return None
        seen = store.watermark().as_dict() if self.hosts.is_main else {}
        told = self.hosts.gather("watermark", [seen, store.own_commits()])
        mark = Watermark.from_dict(told[0][0])
        for _, own in told:
            mark = mark.updated(own)
        deadline = time.monotonic() + _LAG_SECS
        while not store.shows(mark) and time.monotonic() < deadline:
            time.sleep(0.2)
        return mark

    def say(self, line: str) -> None:
        """One line for a person, from one process."""
        if self.hosts.is_main:
            say(line)

    def sample_evaluation(
        self,
        worker: RolloutWorker,
        params: Any,
        problems: Sequence[Problem],
        settings: EvaluationSettings,
        path: Path,
        name: str = "evaluation",
    ) -> None:
        """Each process samples its share of the problems; the main one joins what they found.

        Args:
          path: of the file, which all processes see. name: for the progress.
        """
        hosts, shares = self.hosts, path.parent / f".{path.name}.parts"
        mine = hosts.share(problems)
        progress = Progress(name, len(mine) * settings.num_samples, "samples", stream=hosts.stream)

        def count(samples: int, tokens: int) -> None:
            self.leave_if_stopped()
            progress.add(samples, tokens)

        def work() -> None:
            if mine:
                part = shares / f"{hosts.index}.jsonl"
                sample_evaluation(worker, params, mine, settings, part, progress=count)

        self.do_shares("evaluation", work)
        if hosts.is_main:
            parts = [shares / f"{i}.jsonl" for i in range(min(hosts.count, len(problems)))]
            merge_evaluation(parts, problems, path)
            shutil.rmtree(shares, ignore_errors=True)
        hosts.barrier("evaluation joined")
