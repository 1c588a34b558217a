"""Programs are run in a sandbox, their outputs compared outside it, verdicts turned into rewards.

`Judge` is the face of it; answers that are no programs go to a `Verifier`. Uses the standard
library and `spo_jax.types` only, never jax.
"""

from spo_jax.judging.asking import LANGUAGES, ProgramJudge
from spo_jax.judging.cache import CachedJudge, SubmitsPrograms
from spo_jax.judging.checkers import Checker, find_checker, register_checker
from spo_jax.judging.client import JudgeClient
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.compilation import find_compiler
from spo_jax.judging.extraction import extract_program
from spo_jax.judging.library_verifiers import (
    MathVerify,
    ReasoningGymVerifier,
    require_package,
)
from spo_jax.judging.limits import Limits
from spo_jax.judging.pool import Judge
from spo_jax.judging.probe import BACKENDS, SandboxReport, probe_sandbox
from spo_jax.judging.rewards import RewardMap
from spo_jax.judging.sandbox_fusion import SandboxFusionJudge
from spo_jax.judging.scoring_process import scoring_process
from spo_jax.judging.verifiers import (
    ExactMatch,
    SubmitsAnswers,
    Verifier,
    VerifierJudge,
    judged,
)

__all__ = [
    "BACKENDS",
    "LANGUAGES",
    "CachedJudge",
    "Checker",
    "ExactMatch",
    "Judge",
    "JudgeClient",
    "Limits",
    "MathVerify",
    "OutputComparison",
    "ProgramJudge",
    "ReasoningGymVerifier",
    "RewardMap",
    "SandboxFusionJudge",
    "SandboxReport",
    "SubmitsAnswers",
    "SubmitsPrograms",
    "Verifier",
    "VerifierJudge",
    "extract_program",
    "find_checker",
    "find_compiler",
    "judged",
    "probe_sandbox",
    "register_checker",
    "require_package",
    "scoring_process",
]
