"""What a record must satisfy before it may enter the store. Nothing invalid is ever written."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from spo_jax.errors import UserError, nearest
from spo_jax.types import InitialValue, ReferenceLogprobs, SamplerSettings, Trajectory, Verdict

SOURCES = ("online", "reference", "written", "run", "import")
_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1


def check_source(source: str) -> None:
    """Raises UserError unless `source` is a known word, 'run:<name>' or 'import:<tool>'."""
    head, _, tail = source.partition(":")
    if head not in SOURCES:
        raise UserError(f"source '{source}' is unknown{nearest(head, SOURCES)}")
    if (head in ("run", "import")) != bool(tail):
        raise UserError(
            f"source '{source}' must be 'online', 'reference', 'written', 'run:<name>' "
            "or 'import:<tool>'"
        )


def check_source_pattern(pattern: str) -> None:
    """Raises UserError unless `pattern` is a source, or the first word of one ('run', 'import')."""
    if pattern not in SOURCES:
        check_source(pattern)


def check_trajectories(items: Sequence[Trajectory]) -> None:
    """Raises UserError naming the first trajectory that breaks a rule, the rule and the values."""
    _check_not_empty(items, "trajectory")
    for item in items:
        if not isinstance(item, Trajectory):
            raise UserError(f"expected a Trajectory, got {type(item).__name__}")
        _check_trajectory(item)
    _check_unique([item.trajectory_id for item in items], "trajectory_id")


def check_ref_logprobs(items: Sequence[ReferenceLogprobs]) -> None:
    """Raises UserError for an annotation with no tokens, a wrong type or non-finite values."""
    for item in items:
        where = f"ref_logprobs of trajectory '{item.trajectory_id}'"
        _check_text(item.trajectory_id, where, "trajectory_id")
        if len(_floats(item.ref_logprobs, where, "ref_logprobs")) == 0:
            raise UserError(f"{where}: no tokens")
    _check_unique([(item.trajectory_id, item.reference_id) for item in items], "annotation")


def check_initial_values(items: Sequence[InitialValue]) -> None:
    """Raises UserError for an estimate that is not a number, or has an impossible beta or count."""
    for item in items:
        where = f"initial_value of problem '{item.problem_id}'"
        _check_text(item.problem_id, where, "problem_id")
        _check_text(item.estimator, where, "estimator")
        if not math.isfinite(item.value):
            raise UserError(f"{where}: value={item.value} must be finite")
        if not (math.isfinite(item.beta) and item.beta > 0):
            raise UserError(f"{where}: beta={item.beta} must be positive and finite")
        if not item.standard_error >= 0:
            raise UserError(f"{where}: standard_error={item.standard_error} must not be negative")
        if item.num_samples < 1:
            raise UserError(f"{where}: num_samples={item.num_samples} must be at least 1")
    _check_unique([(i.problem_id, i.reference_id, i.beta) for i in items], "annotation")


def _check_trajectory(item: Trajectory) -> None:
    where = f"trajectory '{item.trajectory_id}'"
    for name in ("trajectory_id", "group_id", "problem_id", "source"):
        _check_text(getattr(item, name), where, name)
    check_source(item.source)
    _check_tokens(item, where)
    _check_turns(item, where)
    _check_reward(item, where)
    _check_int(item.policy_version, where, "policy_version", 0)
    _check_int(item.seed, where, "seed", -_INT64_MAX)
    if item.finish_reason not in ("stop", "length"):
        raise UserError(f"{where}: finish_reason='{item.finish_reason}' must be 'stop' or 'length'")
    if not isinstance(item.sampler, SamplerSettings | None):
        raise UserError(f"{where}: sampler must be SamplerSettings, got {item.sampler!r}")
    for key, value in item.metadata.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise UserError(
                f"{where}: metadata must map strings to strings, got {key!r}: {value!r}"
            )


def _check_tokens(item: Trajectory, where: str) -> None:
    for name in ("prompt_tokens", "completion_tokens"):
        tokens = getattr(item, name)
        if tokens is not None:
            _check_ids(tokens, where, name)
    if item.completion_tokens is None:
        _check_text_only(item, where)
        return
    num_tokens = len(item.completion_tokens)
    if item.prompt_tokens is None or item.completion_mask is None:
        raise UserError(f"{where}: completion_tokens need prompt_tokens and completion_mask")
    mask = np.asarray(item.completion_mask)
    if mask.dtype != np.bool_ or mask.ndim != 1:
        raise UserError(f"{where}: completion_mask must be bool [T], got {mask.dtype} {mask.shape}")
    _check_length(mask, num_tokens, where, "completion_mask")
    if not mask.any():
        raise UserError(f"{where}: completion_mask has no token that the policy chose")
    if item.behavior_logprobs is not None:
        logprobs = _floats(item.behavior_logprobs, where, "behavior_logprobs")
        _check_length(logprobs, num_tokens, where, "behavior_logprobs")


def _check_text_only(item: Trajectory, where: str) -> None:
    for name in ("completion_mask", "behavior_logprobs"):
        if getattr(item, name) is not None:
            raise UserError(f"{where}: {name} without completion_tokens")
    if item.completion_text is None:
        raise UserError(f"{where}: neither completion_tokens nor completion_text")


def _check_turns(item: Trajectory, where: str) -> None:
    if not item.turns:
        return
    if item.completion_tokens is None or item.completion_mask is None:
        raise UserError(f"{where}: turns without completion_tokens")
    position = 0
    for turn in item.turns:
        if turn.role not in ("policy", "environment"):
            raise UserError(f"{where}: turn role '{turn.role}' must be 'policy' or 'environment'")
        if turn.start != position or turn.end <= turn.start:
            raise UserError(
                f"{where}: turns must cover the completion in order: [{turn.start}, {turn.end}) "
                f"follows position {position}"
            )
        if turn.role == "environment" and np.any(item.completion_mask[turn.start : turn.end]):
            raise UserError(
                f"{where}: completion_mask is True inside the environment's turn "
                f"[{turn.start}, {turn.end})"
            )
        position = turn.end
    if position != len(item.completion_tokens):
        raise UserError(
            f"{where}: turns end at {position}, completion_tokens at {len(item.completion_tokens)}"
        )


def _check_reward(item: Trajectory, where: str) -> None:
    if not isinstance(item.verdict, Verdict | None):
        raise UserError(f"{where}: verdict must be a Verdict, got {item.verdict!r}")
    if item.reward is None:
        return
    if isinstance(item.reward, bool | np.bool_) or not isinstance(
        item.reward, float | int | np.floating | np.integer
    ):
        raise UserError(f"{where}: reward must be a number, got {item.reward!r}")
    if not math.isfinite(item.reward):
        raise UserError(f"{where}: reward={item.reward} must be finite")
    if item.verdict == Verdict.IE:
        raise UserError(f"{where}: verdict IE never becomes a reward, got reward={item.reward}")


def _check_ids(values: Any, where: str, name: str) -> None:
    tokens = np.asarray(values)
    if tokens.ndim != 1 or len(tokens) == 0 or tokens.dtype.kind not in "iu":
        raise UserError(
            f"{where}: {name} must be integers [T] with T > 0, got {tokens.dtype} {tokens.shape}"
        )
    if tokens.min() < 0 or tokens.max() > _INT32_MAX:
        raise UserError(
            f"{where}: {name} must lie in [0, 2^31), got [{tokens.min()}, {tokens.max()}]"
        )


def _floats(values: Any, where: str, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind != "f":
        raise UserError(f"{where}: {name} must be floats [T], got {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise UserError(f"{where}: {name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def _check_length(values: np.ndarray, num_tokens: int, where: str, name: str) -> None:
    if len(values) != num_tokens:
        raise UserError(
            f"{where}: {name} has length {len(values)}, completion_tokens have {num_tokens}"
        )


def _check_text(value: Any, where: str, name: str) -> None:
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}: {name} must be a non-empty string, got {value!r}")


def _check_int(value: Any, where: str, name: str, low: int) -> None:
    if value is not None and (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or not low <= value <= _INT64_MAX
    ):
        raise UserError(f"{where}: {name}={value!r} must be an integer in [{low}, 2^63) or None")


def _check_not_empty(items: Sequence[Any], noun: str) -> None:
    if not items:
        raise UserError(f"a commit needs at least one {noun}")


def _check_unique(keys: Sequence[Any], noun: str) -> None:
    key, count = Counter(keys).most_common(1)[0]
    if count > 1:
        raise UserError(f"{noun} {key!r} occurs {count} times in one commit")
