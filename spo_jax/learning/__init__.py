"""Batches, the update step, its optimizer, and checkpoints of its state."""

from spo_jax.learning.batch import Batch, MicroBatch, RowBucket, make_batch, row_buckets
from spo_jax.learning.checkpointing import Checkpointer, Restored
from spo_jax.learning.learner import Learner, NonFiniteLossError, TrainState
from spo_jax.learning.optimizer import AdamW

__all__ = [
    "AdamW",
    "Batch",
    "Checkpointer",
    "Learner",
    "MicroBatch",
    "NonFiniteLossError",
    "Restored",
    "RowBucket",
    "TrainState",
    "make_batch",
    "row_buckets",
]
