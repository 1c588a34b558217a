"""Programs are run in a sandbox, their outputs compared outside it, verdicts turned into rewards.

`Judge` is the face of it. Uses the standard library and `spo_jax.types` only, never jax.
"""

from spo_jax.judging.cache import CachedJudge, SubmitsPrograms
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.extraction import extract_program
from spo_jax.judging.limits import Limits
from spo_jax.judging.pool import Judge
from spo_jax.judging.probe import SandboxReport, probe_sandbox
from spo_jax.judging.rewards import RewardMap

__all__ = [
    "CachedJudge",
    "Judge",
    "Limits",
    "OutputComparison",
    "RewardMap",
    "SandboxReport",
    "SubmitsPrograms",
    "extract_program",
    "probe_sandbox",
]
