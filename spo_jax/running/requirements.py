"""Whether the run can supply what its objective reads: asked before anything is loaded."""

from collections.abc import Collection, Mapping

import numpy as np

from spo_jax.acting.initial_values import InitialValueSettings
from spo_jax.errors import UserError, nearest
from spo_jax.judging import RewardMap
from spo_jax.objectives import Objective
from spo_jax.objectives.interface import NEEDS
from spo_jax.running.settings import BatchSettings, EngineSettings, RolloutSettings
from spo_jax.trajectories import ReplayConfig
from spo_jax.types import source_weight

_BEHAVIOR = frozenset({"behavior_logprobs", "online_behavior_logprobs"})


def check_requirements(
    objective: Objective,
    *,
    replay: ReplayConfig,
    rollouts: RolloutSettings,
    batch: BatchSettings,
    rewards: RewardMap,
    initial_values: InitialValueSettings,
    reference_update_every: int,
    collect_every: int,
    engine: EngineSettings | None = None,
) -> None:
    """Raises UserError where the objective's needs and the run's settings do not fit together."""
    name = type(objective).__name__
    for need in sorted(objective.needs - NEEDS):
        raise UserError(f"{name} needs '{need}', which is unknown{nearest(need, NEEDS)}")
    _check_behavior(name, objective.needs, replay, rollouts)
    if objective.needs & _BEHAVIOR and engine is not None and not engine.gives_logprobs:
        raise UserError(
            f"{name} needs behavior_logprobs, which this engine does not give: EngineSettings."
            f"logprobs='{engine.logprobs}' must not be 'none', and retokenize={engine.retokenize} "
            "must be False"
        )
    if "groups" in objective.needs and batch.completions_per_problem < 2:
        raise UserError(
            f"{name} compares completions of one problem: "
            f"completions_per_problem={batch.completions_per_problem} must be at least 2"
        )
    if reference_update_every and "ref_logprobs" not in objective.needs:
        raise UserError(
            f"{name} reads no reference: reference_update_every={reference_update_every} must be 0"
        )
    if "initial_value" in objective.needs:
        initial_values.check_rewards(rewards)
        if reference_update_every % collect_every:
            raise UserError(
                f"{name} reads initial values, which are sampled once for collect_every="
                f"{collect_every} updates: reference_update_every={reference_update_every} must "
                "be a multiple of it"
            )
    worth = (rewards.accepted, rewards.rejected, rewards.no_program)
    objective.check_rewards(np.array([value for value in worth if value is not None], np.float32))


def check_sources(weights: Mapping[str, float], setting: str, sources: Collection[str]) -> None:
    """Raises UserError for a weight of a source that no trajectory has.

    Args:
      weights: by source ('run:a') or its first word ('run').
      setting: what the weights are called.
      sources: of the trajectories there are and will be.
    """
    known = sorted({name for source in sources for name in (source, source.partition(":")[0])})
    for source in weights:
        if source not in known:
            raise UserError(
                f"{setting} names the source '{source}', which no trajectory of this run has"
                f"{nearest(source, known)} (sources: {', '.join(known)})"
            )


def _check_behavior(
    name: str, needs: frozenset[str], replay: ReplayConfig, rollouts: RolloutSettings
) -> None:
    if not needs & _BEHAVIOR:
        return
    draws_written = replay.offline_fraction > 0 and source_weight("written", replay.source_weights)
    if "behavior_logprobs" in needs and draws_written:
        raise UserError(
            f"{name} needs behavior_logprobs, which written solutions do not have: "
            f"offline_fraction={replay.offline_fraction} must be 0, or source_weights must give "
            "'written' the weight 0"
        )
    if (rollouts.temperature, rollouts.top_p, rollouts.top_k) != (1.0, 1.0, 0):
        raise UserError(
            f"{name} compares the policy with the distribution that was sampled from: "
            f"temperature={rollouts.temperature}, top_p={rollouts.top_p}, top_k={rollouts.top_k} "
            "of RolloutSettings must be 1.0, 1.0 and 0"
        )
