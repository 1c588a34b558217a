"""AdamW with warm-up, decay and clipping, as one frozen description."""

import dataclasses
from typing import Any, Literal, Protocol, get_args

import jax
import optax

from spo_jax.errors import UserError, nearest

Decay = Literal["constant", "cosine", "linear"]


class Optimizer(Protocol):
    """What the learner needs: a gradient transformation, and the rate to report."""

    def transformation(self) -> optax.GradientTransformation: ...

    def schedule(self) -> optax.Schedule: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay.

    Attributes:
      learning_rate: the highest, reached after the warm-up.
      warmup_steps: of a linear rise; the first update already moves, by 1 / warmup_steps.
      decay: of the rate after the warm-up; 'cosine' and 'linear' need `total_steps`.
      total_steps: of the whole run, warm-up included, in optimizer steps: updates times
        `BatchSettings.num_passes`. So are the other steps here.
      final_fraction: of `learning_rate`, reached at `total_steps` and kept.
      max_grad_norm: gradients are scaled down to this global norm, or None.
      weight_decay: per update, times the rate; not on norms and biases.
      b1, b2, eps: of Adam.
      moment_dtype: of the first moment; None is that of the parameters.
    """

    learning_rate: float = 1e-5
    warmup_steps: int = 0
    decay: Decay = "constant"
    total_steps: int | None = None
    final_fraction: float = 0.0
    max_grad_norm: float | None = 1.0
    weight_decay: float = 0.0
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    moment_dtype: str | None = None

    def __post_init__(self):
        if self.decay not in get_args(Decay):
            known = get_args(Decay)
            raise UserError(
                f"decay='{self.decay}' must be one of {known}{nearest(self.decay, known)}"
            )
        if not self.learning_rate > 0:
            raise UserError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise UserError(f"max_grad_norm must be above 0 or None, got {self.max_grad_norm}")
        if self.decay != "constant" and (self.total_steps or 0) <= self.warmup_steps:
            raise UserError(
                f"decay='{self.decay}' needs total_steps={self.total_steps} above "
                f"warmup_steps={self.warmup_steps}"
            )

    def schedule(self) -> optax.Schedule:
        """Returns the learning rate as a function of the number of updates already made."""
        peak, floor = self.learning_rate, self.learning_rate * self.final_fraction
        steps = (self.total_steps or 0) - self.warmup_steps
        if self.decay == "cosine":
            after = optax.cosine_decay_schedule(peak, steps, alpha=self.final_fraction)
        elif self.decay == "linear":
            after = optax.linear_schedule(peak, floor, steps)
        else:
            after = optax.constant_schedule(peak)
        if self.warmup_steps == 0:
            return after
        start = peak / self.warmup_steps
        rise = optax.linear_schedule(start, peak, max(1, self.warmup_steps - 1))
        return optax.join_schedules([rise, after], [self.warmup_steps])

    def transformation(self) -> optax.GradientTransformation:
        """Returns clipping followed by AdamW."""
        adam = optax.adamw(
            self.schedule(),
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            mu_dtype=self.moment_dtype,
            weight_decay=self.weight_decay,
            mask=decayed,
        )
        if self.max_grad_norm is None:
            return adam
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), adam)


def decayed(params: Any) -> Any:
    """Returns the parameter tree with True where weight decay applies: not on norms and biases.

    By name, not by rank: scanned layers stack their norms into matrices.
    """

    def applies(path: tuple[Any, ...], _: Any) -> bool:
        return path[-1].key not in ("scale", "bias")

    return jax.tree_util.tree_map_with_path(applies, params)
