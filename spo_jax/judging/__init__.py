"""Programs are run in a sandbox, their outputs compared outside it, verdicts turned into rewards.

`Judge` is the face of it; answers that are no programs go to a `Verifier`. Uses the standard
library and `spo_jax.types` only, never jax.
"""

from spo_jax.judging.cache import CachedJudge, SubmitsPrograms
from spo_jax.judging.client import JudgeClient
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.extraction import extract_program
from spo_jax.judging.limits import Limits
from spo_jax.judging.pool import Judge
from spo_jax.judging.probe import SandboxReport, probe_sandbox
from spo_jax.judging.rewards import RewardMap
from spo_jax.judging.verifiers import (
    ExactMatch,
    SubmitsAnswers,
    Verifier,
    VerifierJudge,
    judged,
)

__all__ = [
    "CachedJudge",
    "ExactMatch",
    "Judge",
    "JudgeClient",
    "Limits",
    "OutputComparison",
    "RewardMap",
    "SandboxReport",
    "SubmitsAnswers",
    "SubmitsPrograms",
    "Verifier",
    "VerifierJudge",
    "extract_program",
    "judged",
    "probe_sandbox",
]
