"""Trajectories at rest: the store, what is drawn from it, and written solutions put into it."""

from spo_jax.trajectories.draw_stats import DrawStats
from spo_jax.trajectories.drawing import ReplayConfig
from spo_jax.trajectories.index import Index
from spo_jax.trajectories.reader import DamagedObjectError
from spo_jax.trajectories.replay import DrawnGroup, DrawnRow, Replay
from spo_jax.trajectories.store import Commit, TrajectoryStore
from spo_jax.trajectories.watermark import Watermark
from spo_jax.trajectories.written import AnswerFormat, WrittenSolutions, written_trajectories

__all__ = [
    "AnswerFormat",
    "Commit",
    "DamagedObjectError",
    "DrawStats",
    "DrawnGroup",
    "DrawnRow",
    "Index",
    "Replay",
    "ReplayConfig",
    "TrajectoryStore",
    "Watermark",
    "WrittenSolutions",
    "written_trajectories",
]
