"""What every objective takes and returns.

An objective is a frozen dataclass of coefficients that is called with `ObjectiveInputs`. It returns
sums and counts, never means, so that micro-batches and devices add up to the same numbers as one
large batch.
"""

from typing import NamedTuple, Protocol

import jax
import numpy as np

Metrics = dict[str, tuple[jax.Array, jax.Array]]

NEEDS = frozenset(
    {
        "ref_logprobs",
        "behavior_logprobs",
        "online_behavior_logprobs",
        "initial_value",
        "running_initial_value",
        "values",
        "groups",
    }
)


class ObjectiveInputs(NamedTuple):
    """One micro-batch, dense. An empty slot has weight 0 and an all-False mask.

    Attributes:
      logprobs_BT: of the policy at temperature 1; the gradient flows through these. Nats.
      entropy_BT: of the policy's next-token distribution at the same positions. Nats.
      mask_BT: bool, True on tokens the policy chose, the end token included.
      reward_B: what the verdict is worth.
      weights_B: of a sequence's loss; 0 in an empty slot, above 0 elsewhere.
      group_B: int32 in [0, B); sequences of one prompt share a number.
      is_online_B: bool, sampled by this run's policy.
      step: int32 scalar, updates made so far: what schedules are functions of.
      ref_logprobs_BT: of the frozen reference at temperature 1, or None.
      initial_value_B: Q_0 of the prompt in units of reward, or None.
      behavior_logprobs_BT: of the distribution really sampled from, or None. Zeros in offline rows
        where only 'online_behavior_logprobs' were asked for.
      values_BT: the critic's expected return before each token, in units of reward, or None; the
        critic's gradient flows through these.
      proximal_logprobs_BT, proximal_values_BT: logprobs and values as they were when this update
        began. None in the first pass over a batch, where they are the present ones.
    """

    logprobs_BT: jax.Array
    entropy_BT: jax.Array
    mask_BT: jax.Array
    reward_B: jax.Array
    weights_B: jax.Array
    group_B: jax.Array
    is_online_B: jax.Array
    step: jax.Array | int = 0
    ref_logprobs_BT: jax.Array | None = None
    initial_value_B: jax.Array | None = None
    behavior_logprobs_BT: jax.Array | None = None
    values_BT: jax.Array | None = None
    proximal_logprobs_BT: jax.Array | None = None
    proximal_values_BT: jax.Array | None = None


class ObjectiveOutput(NamedTuple):
    """Sums over one micro-batch.

    Attributes:
      loss_sum: scalar; its gradient divided by the total of `weight_sum` is the step's gradient.
      weight_sum: scalar, free of the parameters.
      loss_B: each sequence's share of `loss_sum`, to name the culprit of a non-finite loss.
      metrics: name to (numerator, denominator), scalars; an empty denominator means "no such rows".
      initial_value_B: what this batch says Q_0 of each sequence's prompt is, in units of reward;
        only from objectives whose baseline is a running estimate.
    """

    loss_sum: jax.Array
    weight_sum: jax.Array
    loss_B: jax.Array
    metrics: Metrics
    initial_value_B: jax.Array | None = None


class Objective(Protocol):
    """A frozen dataclass of coefficients, called inside `jax.jit`."""

    @property
    def needs(self) -> frozenset[str]:
        """Which optional inputs it reads; the pipeline supplies these and nothing else.

        'ref_logprobs', 'behavior_logprobs' and 'values' (a critic) name arrays.
        'online_behavior_logprobs' asks for behaviour logprobs of online sequences only.
        'initial_value' is an estimate from reference samples, 'running_initial_value' one that the
        objective itself keeps up to date through `ObjectiveOutput.initial_value_B`.
        'groups' says that several completions of one prompt must be drawn together.
        """

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError, on the host, for rewards this objective gives no meaning to."""

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Returns sums over the micro-batch."""
