"""Trajectory balance, as published: a squared log-ratio of flows, differentiated as it stands.

Source: Trajectory Balance with Asynchrony (TBA), arXiv 2503.18929; trajectory balance, arXiv
2201.13259; the group's mean for log Z is VarGrad, arXiv 2010.10436. Equations (n) are those of
docs/objectives.md.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.objectives.checks import check_choice, check_finite_rewards
from spo_jax.objectives.diagnostics import common_metrics, mean_of, q_metrics
from spo_jax.objectives.interface import ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.links import SquaredLink
from spo_jax.objectives.schedules import Schedule
from spo_jax.objectives.terminal import (
    Baseline,
    baseline_needs,
    check_beta_and_baseline,
    terminal,
)

LogZ = Literal["group", "running"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrajectoryBalance:
    """Equation (23): (log Z + log pi - log pi_ref - reward / beta)^2 of whole completions.

    With beta log Z = Q_0 this is twice the terminal squared loss, and so is its gradient: the
    residual is q - rho. (Letting the gradient flow into the group's mean would change nothing: the
    residuals of a group sum to 0.)

    Attributes:
      beta: in units of reward per nat, a number or a schedule.
      log_z: 'group': the mean of reward / beta - S over the completions of the prompt in the batch
        (VarGrad); 'running': an estimate for each problem that moves towards that mean, which is
        what descending the loss in log Z does.
      success_reward: at least this much counts as right, in metrics only.
    """

    beta: float | Schedule = 0.2
    log_z: LogZ = "group"
    success_reward: float = 0.0

    def __post_init__(self):
        check_choice("log_z", self.log_z, get_args(LogZ))
        check_beta_and_baseline(self.beta, self._baseline)

    @property
    def _baseline(self) -> Baseline:
        return "running" if self.log_z == "running" else "group"

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        return baseline_needs(self._baseline)

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for NaN and infinite rewards."""
        check_finite_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch of w times equation (23), in squared nats."""
        t = terminal(inputs, beta=self.beta, baseline=self._baseline, link=SquaredLink())
        imbalance_B = t.initial_B / t.beta + t.sums_B - t.rho_B
        loss_B = t.weights_B * imbalance_B**2
        weight_sum = jnp.sum(t.weights_B)
        metrics = common_metrics(inputs) | q_metrics(
            inputs, t.deltas_BT, t.initial_B, beta=t.beta, success_reward=self.success_reward
        )
        coefficient_B = 2 * jnp.abs(jax.lax.stop_gradient(imbalance_B))
        metrics["q/coefficient_abs"] = mean_of(coefficient_B, t.weights_B > 0)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/true"] = metrics["loss/total"]
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics, t.seen_B)
