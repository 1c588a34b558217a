"""The rows a draw chooses from, as arrays, and the random order they are chosen in.

Random numbers are hashes of (seed, step, purpose, id): they do not depend on the order of rows or
on what else is in the store, and no generator state has to be saved. N is the number of rows.
"""

import functools

import numpy as np

from spo_jax.trajectories.index import Index, hash64
from spo_jax.trajectories.streams import commit_number
from spo_jax.types import source_weight

ONLINE_SOURCES = ("online", "reference")
_TWO_64 = 2.0**64


class Pool:
    """Arrays over the rows of an index.

    Attributes:
      index: where the rows come from.
      is_online: bool [N]. weights: float64 [N], by source.
      problem_codes: int64 [N] into `problems`. variant_codes: int64 [N]; a variant is a problem
        with one prompt. prompt_codes: int64 [N].
    """

    def __init__(self, index: Index, source_weights: dict[str, float]) -> None:
        self.index = index
        source_codes, sources = index.codes("source")
        names = [source or "" for source in sources]
        self.is_online = np.array([n in ONLINE_SOURCES for n in names], bool)[source_codes]
        self.weights = np.array([source_weight(n, source_weights) for n in names], float)[
            source_codes
        ]
        self.problem_codes, problems = index.codes("problem_id")
        self.problems = [problem or "" for problem in problems]
        self.problem_hashes = np.array([hash64(p) for p in self.problems], np.uint64)
        self._problem_numbers = {problem: code for code, problem in enumerate(self.problems)}
        self._set_variants()

    def _set_variants(self) -> None:
        prompt_codes, prompts = self.index.codes("prompt_hash")
        pairs = self.problem_codes * max(len(prompts), 1) + prompt_codes
        unique, self.variant_codes = np.unique(pairs, return_inverse=True)
        self.variant_problems = unique // max(len(prompts), 1)
        names = [prompts[pair % max(len(prompts), 1)] or "" for pair in unique]
        self._variant_names = np.array(names, dtype=str)
        self._by_variant = np.argsort(self.variant_codes, kind="stable")
        self._starts = np.searchsorted(
            self.variant_codes[self._by_variant], np.arange(len(unique) + 1)
        )

    @functools.cached_property
    def ages(self) -> np.ndarray:
        """int64 [N]: ranks by policy version, then by number of the commit; 0 is the oldest.

        Commits of one number are of different writers: none of these is preferred for long.
        """
        index = self.index
        commits = np.array([commit_number(name) for name in index.objects], np.int64)
        keys = (index.row_of, index.object_of, commits[index.object_of], index.policy_versions)
        ranks = np.empty(len(index), np.int64)
        ranks[np.lexsort(keys)] = np.arange(len(index))
        return ranks

    def problem_code(self, problem_id: str) -> int | None:
        """Number of a problem, or None if it has no rows."""
        return self._problem_numbers.get(problem_id)

    def tokenizer_differs(self, tokenizer_hash: str) -> np.ndarray:
        """bool [N]: rows tokenized by another tokenizer, or by one that is not known."""
        codes, hashes = self.index.codes("tokenizer_hash")
        return np.array([found != tokenizer_hash for found in hashes], bool)[codes]

    def rows_of(self, variant: int) -> np.ndarray:
        """int64 row numbers of a variant."""
        return self._by_variant[self._starts[variant] : self._starts[variant + 1]]

    def best_variants(self, eligible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per problem the variant to draw from, and its number of eligible rows.

        A group must share its prompt. Of several prompts of a problem the one the newest policy
        answered is taken, then the one with most eligible rows, then by hash.

        Args:
          eligible: bool [N].

        Returns:
          int64 [problems] each; variant -1 where a problem has no eligible row.
        """
        num_variants, num_problems = len(self.variant_problems), len(self.problems)
        counts = np.bincount(self.variant_codes[eligible], minlength=num_variants)
        newest = np.full(num_variants, -1, np.int64)
        fresh = eligible & self.is_online
        np.maximum.at(newest, self.variant_codes[fresh], self.index.policy_versions[fresh])
        best = np.full(num_problems, -1, np.int64)
        best_counts = np.zeros(num_problems, np.int64)
        ranked = np.lexsort((self._variant_names, counts, newest))
        ranked = ranked[counts[ranked] > 0]
        # Ascending by merit: of several values for one problem the last stands.
        best[self.variant_problems[ranked]] = ranked
        best_counts[self.variant_problems[ranked]] = counts[ranked]
        return best, best_counts


def uniform(hashes: np.ndarray, *purpose: int | str) -> np.ndarray:
    """float64 in (0, 1), one per uint64 hash, for the purpose named by the other arguments."""
    salt = np.uint64(hash64("/".join(map(str, purpose))))
    mixed = _splitmix(_splitmix(hashes ^ salt) + salt)
    return np.clip((mixed.astype(np.float64) + 0.5) / _TWO_64, 1e-300, 1 - 2**-53)


def shuffled(
    rows: np.ndarray, hashes: np.ndarray, weights: np.ndarray | None, *purpose: int | str
) -> np.ndarray:
    """Rows in random order: successive sampling without replacement in proportion to weights.

    Efraimidis and Spirakis 2006: ascending -log(u) / weight.

    Args:
      rows: int64 row numbers. hashes: uint64, of those rows. weights: positive, of those rows.
    """
    keys = -np.log(uniform(hashes, *purpose))
    if weights is not None:
        keys = keys / weights
    return rows[np.lexsort((hashes, keys))]


def _splitmix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014), a bijection of uint64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
