"""Trajectories at rest: the store, what is drawn from it, and written solutions put into it."""

from spo_jax.trajectories.copying import (
    RowWriter,
    as_run,
    copy_annotations,
    copy_store,
    dedup,
    merge_stores,
)
from spo_jax.trajectories.draw_stats import DrawStats
from spo_jax.trajectories.drawing import FreshGroups, ReplayConfig
from spo_jax.trajectories.dumps import FORMATS, Skipped, detect_format, dump_files, read_dump
from spo_jax.trajectories.importing import Importer, ImportSettings, ImportTokenizer, Place
from spo_jax.trajectories.index import Index
from spo_jax.trajectories.pool import ONLINE_SOURCES
from spo_jax.trajectories.reader import DamagedObjectError
from spo_jax.trajectories.replay import DrawnGroup, DrawnRow, Replay
from spo_jax.trajectories.store import Commit, TrajectoryStore
from spo_jax.trajectories.stored import open_stored
from spo_jax.trajectories.watermark import Watermark
from spo_jax.trajectories.written import AnswerFormat, WrittenSolutions, written_trajectories

__all__ = [
    "FORMATS",
    "ONLINE_SOURCES",
    "AnswerFormat",
    "Commit",
    "DamagedObjectError",
    "DrawStats",
    "DrawnGroup",
    "DrawnRow",
    "FreshGroups",
    "ImportSettings",
    "ImportTokenizer",
    "Importer",
    "Index",
    "Place",
    "Replay",
    "ReplayConfig",
    "RowWriter",
    "Skipped",
    "TrajectoryStore",
    "Watermark",
    "WrittenSolutions",
    "as_run",
    "copy_annotations",
    "copy_store",
    "dedup",
    "detect_format",
    "dump_files",
    "merge_stores",
    "open_stored",
    "read_dump",
    "written_trajectories",
]
