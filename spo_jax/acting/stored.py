"""Trajectories of other stores, earlier runs' or imported ones, put into a run's own store."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from spo_jax.errors import UserError
from spo_jax.trajectories import RowWriter, TrajectoryStore, as_run, open_stored


@dataclasses.dataclass(frozen=True)
class StoredTrajectories:
    """How many rows came in, and why others did not.

    Reasons: 'held_out' (of an evaluation problem), 'untokenized', 'other_tokenizer', 'no_reward',
    'known' (in the run's store already), 'damaged_object' (objects, not rows).
    """

    num_added: int
    skipped: Mapping[str, int]


def add_stored_trajectories(
    store: TrajectoryStore,
    urls: Sequence[str],
    *,
    tokenizer_hash: str,
    held_out: Collection[str],
    check_rewards: Callable[[np.ndarray], None],
) -> StoredTrajectories:
    """Copies what can be learned from into a run's store; there is one logical store.

    The copies are commits of the run, so a draw and an exact resume need nothing else. Reference
    logprobs are computed when a row is first drawn, as for every other row.

    Args:
      store: of the run.
      urls: run directories or stores. A run's own samples become source 'run:<directory>'.
      tokenizer_hash: of the policy.
      held_out: ids of problems that are evaluated.
      check_rewards: the objective's; raises for rewards it gives no meaning to.

    Raises:
      UserError: there is no store, one has no tokens of this tokenizer, or its rewards are not the
        objective's.
    """
    writer, skipped = RowWriter(store), Counter[str]()
    for url in urls:
        source, name = open_stored(url)
        _check_tokenizer(source, url, tokenizer_hash)
        _check_rewards(source, url, check_rewards)
        for item in source.read():
            if item.problem_id in held_out:
                skipped["held_out"] += 1
            elif item.completion_tokens is None:
                skipped["untokenized"] += 1
            elif item.tokenizer_hash != tokenizer_hash:
                skipped["other_tokenizer"] += 1
            elif item.reward is None:
                skipped["no_reward"] += 1
            else:
                writer.add(as_run(item, name))
        skipped["damaged_object"] += len(source.damaged)
    writer.flush()
    skipped["known"] = writer.num_known
    return StoredTrajectories(writer.num_added, {r: n for r, n in skipped.items() if n})


def _check_tokenizer(source: TrajectoryStore, url: str, tokenizer_hash: str) -> None:
    codes, hashes = source.index().codes("tokenizer_hash")
    present = {hashes[code] for code in set(codes.tolist())} - {None}
    if present and tokenizer_hash not in present:
        raise UserError(
            f"'{url}' was tokenized by {', '.join(sorted(map(str, present)))}, the policy's "
            f"tokenizer is {tokenizer_hash}: import the text again with --tokenizer"
        )
    if not present:
        raise UserError(
            f"'{url}' names no tokenizer: import it again with --tokenizer, so that there are "
            "tokens whose tokenizer is known"
        )


def _check_rewards(
    source: TrajectoryStore, url: str, check_rewards: Callable[[np.ndarray], None]
) -> None:
    rewards = source.index().rewards
    try:
        check_rewards(np.unique(rewards[~np.isnan(rewards)]).astype(np.float32))
    except UserError as error:
        raise UserError(
            f"rewards of '{url}': {error}; import with --reward_scale and --reward_offset"
        ) from error
