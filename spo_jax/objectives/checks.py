"""Checks of coefficients and rewards that the objectives share; all raise `UserError`."""

import math

import numpy as np

from spo_jax.errors import UserError, nearest


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuses a word that is not one of `known`, and names the nearest."""
    if value not in known:
        raise UserError(f"{name}='{value}' must be one of {known}{nearest(str(value), known)}")


def check_positive(name: str, value: float) -> None:
    """Refuses what is not a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{name} must be finite and above 0, got {value}")


def check_not_negative(name: str, value: float) -> None:
    """Refuses what is not a finite number of at least 0."""
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{name} must be finite and at least 0, got {value}")


def check_finite_rewards(rewards: np.ndarray) -> None:
    """Refuses NaN and infinite rewards."""
    bad = np.asarray(rewards)[~np.isfinite(rewards)]
    if bad.size:
        raise UserError(
            f"rewards must be finite: {bad.size} of {np.size(rewards)} are not, one is {bad[0]}"
        )
