"""The plan of a draw: which rows form which group. Pure functions of arrays; nothing is read."""

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from spo_jax.errors import UserError
from spo_jax.trajectories.draw_stats import length_buckets
from spo_jax.trajectories.pool import Pool, shuffled, uniform
from spo_jax.trajectories.validation import check_source_pattern


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """How draws are made; `replay.py` explains the choices.

    Attributes:
      offline_fraction: of a group's rows, in [0, 1].
      source_weights: by source ('run:a') or its first word ('run'); 1 where not given, 0 is never.
      max_staleness: of online rows, in updates; None is no limit.
      max_uses, max_offline_uses: how often an online or offline row may be drawn; None is no limit.
      max_prompt_tokens, max_completion_tokens: longer rows are not drawn; None is no limit.
      min_completions: groups with fewer rows are not drawn. A group baseline learns nothing from a
        group of one.
      balance_outcomes: avoid groups of one outcome, by choice among offline rows.
      require_annotations: raise instead of returning rows without reference logprobs.
    """

    offline_fraction: float = 0.5
    source_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    max_staleness: int | None = None
    max_uses: int | None = None
    max_offline_uses: int | None = None
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_completions: int = 1
    balance_outcomes: bool = True
    require_annotations: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.offline_fraction <= 1:
            raise UserError(f"offline_fraction={self.offline_fraction} must lie in [0, 1]")
        for source, weight in self.source_weights.items():
            check_source_pattern(source)
            if not (math.isfinite(weight) and weight >= 0):
                raise UserError(f"weight {weight} of source '{source}' must be at least 0")
        for name, low in (
            ("max_staleness", 0),
            ("max_uses", 1),
            ("max_offline_uses", 1),
            ("max_prompt_tokens", 1),
            ("max_completion_tokens", 1),
            ("min_completions", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < low:
                raise UserError(f"{name}={value} must be at least {low}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawRequest:
    """One draw: `problem_ids` must be drawn, the rest up to `num_problems` at random.

    With `fresh_first`, of the online rows of a group those drawn least often come first, and of
    these the oldest: what was sampled together is drawn together.
    """

    seed: int
    step: int
    problem_ids: Sequence[str]
    num_problems: int
    num_completions: int
    policy_version: int
    tokenizer_hash: str | None
    fresh_first: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class DrawPlan:
    """Row numbers of every group, by problem, and what could not be drawn (see `DrawStats`)."""

    groups: list[tuple[str, np.ndarray]]
    dropped: dict[str, dict[str, int]]
    filled: dict[str, int]
    missing_problems: tuple[str, ...]

    @property
    def rows(self) -> np.ndarray:
        """int64, all rows in the order of the groups."""
        return np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in self.groups)])


def plan_draw(pool: Pool, config: ReplayConfig, uses: np.ndarray, request: DrawRequest) -> DrawPlan:
    """Chooses problems, then the rows of each group. `uses` is int64 [N]."""
    reasons = _drop_reasons(pool, config, uses, request)
    eligible = reasons == ""
    variants, counts = pool.best_variants(eligible)
    problems, missing = _choose_problems(pool, counts, config, request)
    filled: Counter[str] = Counter()
    groups = []
    for problem in problems:
        rows = pool.rows_of(int(variants[problem]))
        chosen = _choose_rows(pool, config, rows[eligible[rows]], uses, problem, request, filled)
        groups.append((pool.problems[problem], chosen))
    chosen_variants = variants[np.array(problems, np.int64)]
    others = np.isin(pool.problem_codes, problems) & ~np.isin(pool.variant_codes, chosen_variants)
    reasons[eligible & others] = "other_prompt"
    considered = _considered(pool, problems, request)
    return DrawPlan(groups, _count_dropped(pool, reasons, considered), dict(filled), missing)


@dataclasses.dataclass(frozen=True)
class FreshGroups:
    """Groups of samples that no draw has taken anything of: what the actors are ahead.

    Attributes:
      num_groups: how many there are that can be drawn.
      problem_ids: their problems, each once, those of the oldest policy first.
    """

    num_groups: int
    problem_ids: tuple[str, ...]


def fresh_groups(
    pool: Pool, config: ReplayConfig, uses: np.ndarray, request: DrawRequest
) -> FreshGroups:
    """Groups of source 'online' that can be drawn and that were not. `uses` is int64 [N]."""
    source_codes, sources = pool.index.codes("source")
    own = np.array([source == "online" for source in sources], bool)[source_codes]
    usable = own & (_drop_reasons(pool, config, uses, request) == "")
    group_codes, groups = pool.index.codes("group_id")
    touched = np.bincount(group_codes[own & (uses > 0)], minlength=len(groups)) > 0
    rows = np.flatnonzero(usable & ~touched[group_codes])
    rows = rows[np.argsort(pool.ages[rows])]
    problems = dict.fromkeys(pool.problems[code] for code in pool.problem_codes[rows])
    return FreshGroups(len(np.unique(group_codes[rows])), tuple(problems))


def staleness(pool: Pool, policy_version: int) -> np.ndarray:
    """int64 [N] updates; 0 for offline rows. A missing version counts as version 0."""
    versions = np.maximum(pool.index.policy_versions, 0)
    return np.where(pool.is_online, np.maximum(policy_version - versions, 0), 0)


def _drop_reasons(
    pool: Pool, config: ReplayConfig, uses: np.ndarray, request: DrawRequest
) -> np.ndarray:
    """Strings [N]: why a row cannot be drawn, '' if it can; the first reason that applies."""
    index, online = pool.index, pool.is_online
    prompts, completions = index.prompt_lengths, index.completion_lengths
    too_long = np.zeros(len(index), bool)
    if config.max_prompt_tokens is not None:
        too_long |= prompts > config.max_prompt_tokens
    if config.max_completion_tokens is not None:
        too_long |= completions > config.max_completion_tokens
    stale = np.zeros(len(index), bool)
    if config.max_staleness is not None:
        stale = online & (staleness(pool, request.policy_version) > config.max_staleness)
    limits = [math.inf if n is None else n for n in (config.max_offline_uses, config.max_uses)]
    other_tokenizer = np.zeros(len(index), bool)
    if request.tokenizer_hash is not None:
        other_tokenizer = pool.tokenizer_differs(request.tokenizer_hash)
    checks = {
        "untokenized": completions < 0,
        "no_reward": np.isnan(index.rewards),
        "other_tokenizer": other_tokenizer,
        "source_weight": pool.weights == 0,
        "too_long": too_long,
        "stale": stale,
        "used_up": uses >= np.where(online, limits[1], limits[0]),
        "offline_fraction": (~online & (config.offline_fraction == 0))
        | (online & (config.offline_fraction == 1)),
    }
    reasons = np.full(len(index), "", dtype="<U16")
    for reason, applies in reversed(checks.items()):
        reasons[applies] = reason
    return reasons


def _choose_problems(
    pool: Pool, counts: np.ndarray, config: ReplayConfig, request: DrawRequest
) -> tuple[list[int], tuple[str, ...]]:
    """Codes of the problems to draw, and the ids of those asked for that have too few rows."""
    codes = {name: pool.problem_code(name) for name in request.problem_ids}
    enough = {
        name: code
        for name, code in codes.items()
        if code is not None and counts[code] >= config.min_completions
    }
    missing = tuple(name for name in codes if name not in enough)
    others = np.flatnonzero(counts >= config.min_completions)
    others = others[~np.isin(others, list(enough.values()))]
    seed, step = request.seed, request.step
    others = shuffled(others, pool.problem_hashes[others], None, seed, step, "problem")
    short = counts[others] < request.num_completions
    others = np.concatenate([others[~short], others[short]])
    room = request.num_problems - len(request.problem_ids)
    return [*enough.values(), *others[:room].tolist()], missing


def _choose_rows(
    pool: Pool,
    config: ReplayConfig,
    rows: np.ndarray,
    uses: np.ndarray,
    problem: int,
    request: DrawRequest,
    filled: Counter[str],
) -> np.ndarray:
    """Rows of one group, offline ones first, out of the eligible rows of its variant."""
    hashes, weights = pool.index.id_hashes[rows], pool.weights[rows]
    order = shuffled(rows, hashes, weights, request.seed, request.step, "row")
    offline, online = order[~pool.is_online[order]], order[pool.is_online[order]]
    if request.fresh_first:
        online = online[np.lexsort((pool.ages[online], uses[online]))]
    wanted = request.num_completions * config.offline_fraction
    drawn = uniform(pool.problem_hashes[[problem]], request.seed, request.step, "fraction")[0]
    num_offline = math.floor(wanted) + int(drawn < wanted - math.floor(wanted))
    num_online = request.num_completions - num_offline
    take_online = min(len(online), max(num_online, request.num_completions - len(offline)))
    take_offline = min(len(offline), request.num_completions - take_online)
    filled["online"] += max(take_online - num_online, 0)
    filled["offline"] += max(take_offline - num_offline, 0)
    chosen_offline, chosen_online = offline[:take_offline], online[:take_online]
    if config.balance_outcomes:
        right = _right(pool, rows)
        chosen_offline = _balanced(chosen_offline, chosen_online, offline[take_offline:], right)
    return np.concatenate([chosen_offline, chosen_online])


def _right(pool: Pool, rows: np.ndarray) -> set[int]:
    """Rows whose reward lies above the middle between the lowest and the highest of `rows`."""
    rewards = pool.index.rewards[rows]
    if not len(rows) or rewards.min() == rewards.max():
        return set()
    return set(rows[rewards > (rewards.min() + rewards.max()) / 2].tolist())


def _balanced(
    offline: np.ndarray, online: np.ndarray, spare: np.ndarray, right: set[int]
) -> np.ndarray:
    """`offline` with its last row exchanged if the group has one outcome and `spare` the other."""
    outcomes = {row in right for row in [*offline.tolist(), *online.tolist()]}
    if len(offline) == 0 or len(offline) + len(online) < 2 or len(outcomes) != 1:
        return offline
    other = [row for row in spare.tolist() if (row in right) not in outcomes]
    return np.append(offline[:-1], other[:1]) if other else offline


def _considered(pool: Pool, problems: list[int], request: DrawRequest) -> np.ndarray:
    """bool [N]: rows whose dropping this draw accounts for: of the problems asked for, or all."""
    if len(request.problem_ids) < request.num_problems:
        return np.ones(len(pool.index), bool)
    codes = [pool.problem_code(name) for name in request.problem_ids]
    return np.isin(pool.problem_codes, [code for code in codes if code is not None])


def _count_dropped(
    pool: Pool, reasons: np.ndarray, considered: np.ndarray
) -> dict[str, dict[str, int]]:
    rows = np.flatnonzero(considered & (reasons != ""))
    index = pool.index
    buckets = length_buckets(index.prompt_lengths[rows], index.completion_lengths[rows])
    dropped: dict[str, Counter[str]] = defaultdict(Counter)
    for reason, bucket in zip(reasons[rows].tolist(), buckets, strict=True):
        dropped[reason][bucket] += 1
    return {reason: dict(counts) for reason, counts in sorted(dropped.items())}
