"""Batches, the update step, its optimizer, and checkpoints of its state."""

from spo_jax.learning.batch import Batch, MicroBatch, make_batch
from spo_jax.learning.checkpointing import Checkpointer, CheckpointError, Restored
from spo_jax.learning.layout import RowBucket, row_buckets
from spo_jax.learning.learner import Learner, NonFiniteLossError, Updated
from spo_jax.learning.optimizer import AdamW
from spo_jax.learning.retention import CheckpointSettings
from spo_jax.learning.state import CriticState, TrainState

__all__ = [
    "AdamW",
    "Batch",
    "CheckpointError",
    "CheckpointSettings",
    "Checkpointer",
    "CriticState",
    "Learner",
    "MicroBatch",
    "NonFiniteLossError",
    "Restored",
    "RowBucket",
    "TrainState",
    "Updated",
    "make_batch",
    "row_buckets",
]
