"""What a run learns from besides its own samples: put into its store before the first update."""

from spo_jax.acting.stored import add_stored_trajectories
from spo_jax.acting.written import add_written_solutions
from spo_jax.reporting.progress import say
from spo_jax.running.parts import RunParts
from spo_jax.running.requirements import check_sources
from spo_jax.trajectories import ONLINE_SOURCES


def add_offline_data(parts: RunParts) -> None:
    """Adds written solutions and other stores' rows that are not there yet; checks the weights.

    Raises:
      UserError: a weight names a source that nothing has, or another store does not fit.
    """
    _add_written(parts)
    _add_stored(parts)
    _check_sources(parts)


def _add_written(parts: RunParts) -> None:
    if not parts.uses_offline:
        return
    written = add_written_solutions(
        parts.store,
        parts.train_problems,
        parts.sampling.prompter,
        reward_map=parts.rewards,
        judge=None if parts.trust_labels else parts.sampling.judge,
        max_completion_tokens=parts.max_completion_tokens,
    )
    left_out = ", ".join(f"{n} {reason}" for reason, n in written.skipped.items())
    say(
        f"{len(written.trajectories)} written solutions"
        + (f" (left out: {left_out})" if left_out else "")
        + (
            f"; {written.disagreements} are not what their label says"
            if written.disagreements
            else ""
        )
    )


def _check_sources(parts: RunParts) -> None:
    """Weights are given by source: one that names nothing would be passed over in silence."""
    _, stored = parts.store.index().codes("source")
    sources = {*ONLINE_SOURCES, "written", *(name for name in stored if name)}
    check_sources(parts.replay.config.source_weights, "source_weights", sources)
    check_sources(parts.batch.loss_weights, "loss_weights", sources)


def _add_stored(parts: RunParts) -> None:
    if not parts.stores:
        return
    added = add_stored_trajectories(
        parts.store,
        parts.stores,
        tokenizer_hash=parts.sampling.tokenizer.hash,
        held_out={problem.id for problem in parts.eval_problems},
        check_rewards=parts.learner.objective.check_rewards,
    )
    left_out = ", ".join(f"{n} {reason}" for reason, n in added.skipped.items())
    say(
        f"{added.num_added} trajectories of other stores"
        + (f" (left out: {left_out})" if left_out else "")
    )
