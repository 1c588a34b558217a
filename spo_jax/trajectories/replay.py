"""What the learner is given: groups of completions of a problem, drawn from the store.

**What is drawn.** A group holds completions of one problem that share one prompt. Of its n rows
n * offline_fraction are offline (every source but 'online' and 'reference'); a fractional part is
rounded up with that probability, so that the mixture is right on average. Within a side, rows are
drawn without replacement, uniformly over the allowed window of staleness, weighted by source. If
one side has too few rows the other fills the group, unless `offline_fraction` is 0 or 1: then the
other side is never used. A row without reward or tokens is never drawn, and no row twice in one
draw.

**Staleness** is counted in updates: `policy_version - row.policy_version`, at least 0. A reference
sample without a version counts as version 0. Offline rows have no staleness, and `max_staleness`
does not concern them.

**`balance_outcomes`.** If a group would hold one outcome only (rewards all on one side of the
middle between the problem's lowest and highest) and an offline row with the other outcome is
there, it replaces the last offline row drawn. This selects data by outcome. The terminal losses
of SPO do not mind: their optimum is the same for any data with full support and any weights, while
a group of one outcome tells a group baseline nothing. A policy gradient or plain likelihood on such
data would be biased by it: switch it off there. Online rows are never selected by outcome.

**Repeatable.** A draw is a function of the store up to `watermark`, the seed, the step and the
uses so far; it does not depend on the order of rows or on what was committed after the watermark.
`advance()` moves the watermark, and so does `state_dict()`: what is saved must cover the
annotations made since the draw, or a resumed run would compute them again in other company and
other bits. In runs of several processes one of them calls `store.watermark()` and all call
`advance` with it.
"""

import dataclasses
import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spo_jax.errors import UserError
from spo_jax.trajectories.draw_stats import DrawStats, histogram
from spo_jax.trajectories.drawing import (
    DrawPlan,
    DrawRequest,
    ReplayConfig,
    plan_draw,
    staleness,
)
from spo_jax.trajectories.pool import Pool
from spo_jax.trajectories.reader import DamagedObjectError
from spo_jax.trajectories.store import TrajectoryStore
from spo_jax.trajectories.watermark import Watermark
from spo_jax.types import Trajectory

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class DrawnRow:
    """One completion. `ref_logprobs` is float32 [T], or None if the reference has not scored it.

    `staleness` is None for offline rows.
    """

    trajectory: Trajectory
    ref_logprobs: np.ndarray | None
    is_online: bool
    staleness: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class DrawnGroup:
    """Completions of one prompt; `initial_value` is None if there is no estimate.

    `reference_id` is of the reference whose annotations the group carries, or None.
    """

    problem_id: str
    initial_value: float | None
    rows: tuple[DrawnRow, ...]
    reference_id: str | None = None


class Replay:
    """Draws groups from a store and counts uses.

    Attributes:
      config: how it draws.
      watermark: what of the store is drawn from; moved by `advance`.
      reference_id, beta: whose annotations are attached; None attaches none.
      stats: of the last draw.
    """

    def __init__(
        self,
        store: TrajectoryStore,
        config: ReplayConfig | None = None,
        *,
        seed: int,
        reference_id: str | None = None,
        beta: float | None = None,
        tokenizer_hash: str | None = None,
    ) -> None:
        """Starts at the store's present watermark.

        Args:
          store: drawn from; never written to.
          config: how.
          seed: of the run.
          reference_id: of the reference whose logprobs and initial values are attached.
          beta: of the initial values.
          tokenizer_hash: if given, rows of another tokenizer are not drawn.
        """
        self.reference_id = reference_id
        self.beta = beta
        self.stats: DrawStats | None = None
        self.config = config or ReplayConfig()
        self._store = store
        self._seed = seed
        self._tokenizer_hash = tokenizer_hash
        self._uses: dict[str, int] = {}
        self._pool: Pool | None = None
        self._row_uses = np.zeros(0, np.int64)
        self.watermark = store.watermark()

    def advance(self, watermark: Watermark | None = None) -> Watermark:
        """Draws from now on see everything committed (or up to a given watermark)."""
        self.watermark = self._store.watermark() if watermark is None else watermark
        return self.watermark

    def state_dict(self, watermark: Watermark | None = None) -> dict[str, Any]:
        """Advances (to a given watermark), and returns seed, watermark and uses as plain JSON.

        To be called when nothing is under way: all that a resumed run is not to redo is committed.
        """
        return {
            "seed": self._seed,
            "watermark": self.advance(watermark).as_dict(),
            "uses": dict(self._uses),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores `state_dict()`. A resumed run then calls `store.rewind(replay.watermark)`.

        Raises:
          UserError: the state was saved under another seed.
        """
        if state["seed"] != self._seed:
            raise UserError(f"seed={self._seed}, but the saved replay has seed {state['seed']}")
        self.watermark = Watermark.from_dict(state["watermark"])
        self._uses = {str(name): int(count) for name, count in state["uses"].items()}
        self._pool = None

    def draw(
        self,
        step: int,
        num_problems: int,
        completions_per_problem: int,
        policy_version: int,
        problem_ids: Sequence[str] | None = None,
    ) -> list[DrawnGroup]:
        """Draws groups and counts their use; `stats` then tells what was done.

        Args:
          step: of the run; another step is another draw.
          num_problems: groups wanted.
          completions_per_problem: rows per group. A problem with fewer gives a short group.
          policy_version: of the learner now, for staleness.
          problem_ids: problems that must be drawn (those just sampled); the rest, up to
            `num_problems`, is drawn at random from problems with enough rows, then from those with
            fewer.

        Returns:
          At most `num_problems` groups, in the order of `problem_ids`, then as drawn. Fewer if the
          store has no more.

        Raises:
          UserError: a problem asked for twice, more asked for than `num_problems`, or rows without
            reference logprobs where they are required.
        """
        wanted = list(problem_ids or ())
        if len(set(wanted)) != len(wanted) or len(wanted) > num_problems:
            raise UserError(
                f"problem_ids must be distinct and at most num_problems={num_problems}, "
                f"got {wanted}"
            )
        request = DrawRequest(
            seed=self._seed,
            step=step,
            problem_ids=wanted,
            num_problems=num_problems,
            num_completions=completions_per_problem,
            policy_version=policy_version,
            tokenizer_hash=self._tokenizer_hash,
        )
        while True:
            try:
                return self._draw(request)
            except DamagedObjectError:
                continue  # set aside: the next index leaves it out

    def _draw(self, request: DrawRequest) -> list[DrawnGroup]:
        pool = self._current_pool()
        plan = plan_draw(pool, self.config, self._row_uses, request)
        trajectories = self._store.fetch(pool.index, plan.rows)
        ref_logprobs = self._annotations(trajectories)
        drawn = [
            DrawnRow(trajectory, logprobs, bool(online), int(age) if online else None)
            for trajectory, logprobs, online, age in zip(
                trajectories,
                ref_logprobs,
                pool.is_online[plan.rows],
                staleness(pool, request.policy_version)[plan.rows],
                strict=True,
            )
        ]
        self.stats = self._account(plan, drawn, request)
        self._count_uses(plan.rows, [item.trajectory_id for item in trajectories])
        values, rest = self._initial_values(), iter(drawn)
        return [
            DrawnGroup(
                name, values.get(name), tuple(itertools.islice(rest, len(rows))), self.reference_id
            )
            for name, rows in plan.groups
        ]

    def _annotations(self, trajectories: list[Trajectory]) -> list[np.ndarray | None]:
        if self.reference_id is None:
            return [None] * len(trajectories)
        ids = [item.trajectory_id for item in trajectories]
        found = self._store.ref_logprobs(self.reference_id, ids, self.watermark)
        for number, item in enumerate(trajectories):
            found[number] = self._checked(item, found[number])
        missing = [name for name, logprobs in zip(ids, found, strict=True) if logprobs is None]
        if missing and self.config.require_annotations:
            raise UserError(
                f"{len(missing)} of {len(ids)} drawn trajectories have no ref_logprobs under "
                f"reference '{self.reference_id}', for example '{missing[0]}'"
            )
        return found

    def _checked(self, item: Trajectory, logprobs: np.ndarray | None) -> np.ndarray | None:
        """None for logprobs that cannot belong to the trajectory's tokens."""
        num_tokens = 0 if item.completion_tokens is None else len(item.completion_tokens)
        if logprobs is None or len(logprobs) == num_tokens:
            return logprobs
        _log.warning(
            "ignoring ref_logprobs of trajectory '%s' under reference '%s': %d values, %d tokens",
            item.trajectory_id,
            self.reference_id,
            len(logprobs),
            num_tokens,
        )
        return None

    def _initial_values(self) -> dict[str, float]:
        if self.reference_id is None or self.beta is None:
            return {}
        found = self._store.initial_values(self.reference_id, self.beta, self.watermark)
        return {problem_id: item.value for problem_id, item in found.items()}

    def _account(self, plan: DrawPlan, drawn: list[DrawnRow], request: DrawRequest) -> DrawStats:
        return DrawStats(
            num_groups=len(plan.groups),
            num_rows=len(drawn),
            num_offline=sum(not row.is_online for row in drawn),
            staleness=histogram([row.staleness for row in drawn if row.staleness is not None]),
            uses=histogram(self._row_uses[plan.rows].tolist()),
            dropped=plan.dropped,
            filled=plan.filled,
            num_short_groups=sum(len(r) < request.num_completions for _, r in plan.groups),
            missing_problems=plan.missing_problems,
            num_unannotated=sum(row.ref_logprobs is None for row in drawn),
        )

    def _current_pool(self) -> Pool:
        index = self._store.index(self.watermark)
        if self._pool is None or self._pool.index is not index:
            self._pool = Pool(index, dict(self.config.source_weights))
            self._row_uses = np.zeros(len(index), np.int64)
            if self._uses:
                found = index.positions(list(self._uses))
                counts = np.fromiter(self._uses.values(), np.int64, len(self._uses))
                self._row_uses[found[found >= 0]] = counts[found >= 0]
        return self._pool

    def _count_uses(self, rows: np.ndarray, ids: Sequence[str]) -> None:
        self._row_uses[rows] += 1
        for trajectory_id in ids:
            self._uses[trajectory_id] = self._uses.get(trajectory_id, 0) + 1
