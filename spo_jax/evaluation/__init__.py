"""Numbers from verdicts: pass@k, diversity, and differences paired by problem."""

from spo_jax.evaluation.diversity import mean_distinct_right
from spo_jax.evaluation.paired import PairedDifference, paired_difference
from spo_jax.evaluation.pass_at_k import ProblemScore, mean_pass_at_k, pass_at_k
from spo_jax.evaluation.samples import read_samples, scores_of, write_samples

__all__ = [
    "PairedDifference",
    "ProblemScore",
    "mean_distinct_right",
    "mean_pass_at_k",
    "paired_difference",
    "pass_at_k",
    "read_samples",
    "scores_of",
    "write_samples",
]
