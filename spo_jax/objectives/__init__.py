"""What a batch is worth: pure functions of dense arrays. No model, no configuration, no files.

Letters in names: B sequences (completions) of a micro-batch, T completion tokens.
`docs/objectives.md` numbers the equations that the docstrings cite.
"""

from spo_jax.objectives.advantage_regression import AdvantageRegression
from spo_jax.objectives.grpo import GRPO
from spo_jax.objectives.interface import Objective, ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.ppo import PPO
from spo_jax.objectives.reinforce import RLOO, Reinforce
from spo_jax.objectives.schedules import GeometricSchedule, LinearSchedule
from spo_jax.objectives.spo import SoftPolicyOptimization
from spo_jax.objectives.supervised import Supervised
from spo_jax.objectives.token_q import TokenQRegression
from spo_jax.objectives.trajectory_balance import TrajectoryBalance

__all__ = [
    "GRPO",
    "PPO",
    "RLOO",
    "AdvantageRegression",
    "GeometricSchedule",
    "LinearSchedule",
    "Objective",
    "ObjectiveInputs",
    "ObjectiveOutput",
    "Reinforce",
    "SoftPolicyOptimization",
    "Supervised",
    "TokenQRegression",
    "TrajectoryBalance",
]
