"""Coefficients that change over a run: frozen functions of the number of updates made.

Wherever an objective's docstring says `float | Schedule`, either may be given. A schedule compares
and hashes by its fields, so that an objective that holds one can be a static argument of `jax.jit`.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from spo_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class LinearSchedule:
    """From `start` to `end` in equal steps over `num_updates`, then `end`."""

    start: float
    end: float
    num_updates: int

    def __post_init__(self):
        _check(self)

    def __call__(self, step: int | jax.Array) -> float | jax.Array:
        """The value after `step` updates: a float for a host int, an array for an array."""
        return self.start + (self.end - self.start) * _fraction(step, self.num_updates)


@dataclasses.dataclass(frozen=True)
class GeometricSchedule:
    """From `start` to `end` by equal factors over `num_updates`, then `end`; both above 0."""

    start: float
    end: float
    num_updates: int

    def __post_init__(self):
        _check(self)
        if self.start <= 0 or self.end <= 0:
            raise UserError(
                f"start={self.start} and end={self.end} of a GeometricSchedule must be above 0"
            )

    def __call__(self, step: int | jax.Array) -> float | jax.Array:
        """The value after `step` updates: a float for a host int, an array for an array."""
        return self.start * (self.end / self.start) ** _fraction(step, self.num_updates)


Schedule = LinearSchedule | GeometricSchedule


def value_at(value: float | Schedule, step: int | jax.Array) -> float | jax.Array:
    """`value` itself, or what the schedule says after `step` updates."""
    return value if isinstance(value, int | float) else value(step)


def extremes(value: float | Schedule) -> tuple[float, float]:
    """The lowest and the highest value it ever takes: schedules are monotone."""
    if isinstance(value, int | float):
        return value, value
    return min(value.start, value.end), max(value.start, value.end)


def _fraction(step: int | jax.Array, num_updates: int) -> float | jax.Array:
    if isinstance(step, int):
        return min(max(step / num_updates, 0.0), 1.0)
    return jnp.clip(step / num_updates, 0.0, 1.0)


def _check(schedule: LinearSchedule | GeometricSchedule) -> None:
    kind = type(schedule).__name__
    if not (math.isfinite(schedule.start) and math.isfinite(schedule.end)):
        raise UserError(f"start={schedule.start} and end={schedule.end} of a {kind} must be finite")
    if schedule.num_updates < 1:
        raise UserError(f"num_updates={schedule.num_updates} of a {kind} must be at least 1")
