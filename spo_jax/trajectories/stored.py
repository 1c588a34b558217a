"""Stores by the names people use for them: a run's directory, or a store's own URL."""

from spo_jax.errors import UserError
from spo_jax.trajectories.store import TrajectoryStore


def open_stored(path: str) -> tuple[TrajectoryStore, str]:
    """The store in a run directory, or the store itself, and the last part of its path.

    Raises:
      UserError: nothing is stored there.
    """
    base = str(path).rstrip("/")
    for url in (f"{base}/trajectories", base):
        try:
            store = TrajectoryStore(url, create=False)
        except UserError:
            continue
        if store.objects():
            return store, base.rpartition("/")[2]
    raise UserError(f"there are no trajectories in '{path}': neither a run directory nor a store")
