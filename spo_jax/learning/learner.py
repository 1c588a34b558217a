"""The learner: gradients of sums over micro-batches, divided once, and one optimizer step.

Letters: B sequences of a micro-batch.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from spo_jax.errors import UserError
from spo_jax.learning.batch import Batch, MicroBatch
from spo_jax.learning.optimizer import Optimizer
from spo_jax.models.transformer import Params, Transformer, logical_axes, param_shapes
from spo_jax.objectives.interface import Metrics, Objective, ObjectiveInputs
from spo_jax.scoring import score_rows
from spo_jax.sharding import (
    axis_rules,
    batch_sharding,
    make_mesh,
    num_batch_shards,
    on_mesh,
    optimizer_shardings,
    param_shardings,
    replicated,
)


class TrainState(NamedTuple):
    """What an update changes; a pytree.

    Attributes:
      step: int32 scalar, updates made.
      params: the policy's parameters. opt_state: the optimizer's.
      key: the run's base key, never changed: fold the step and a purpose into it.
    """

    step: Any
    params: Params
    opt_state: Any
    key: Any


class NonFiniteLossError(RuntimeError):
    """The loss or the gradient was not finite; nothing was learned from the batch.

    Attributes:
      state: as before the update (the one passed in was donated).
      trajectory_ids: the sequences to look at.
    """

    def __init__(self, message: str, state: TrainState, trajectory_ids: tuple[str, ...]):
        super().__init__(message)
        self.state = state
        self.trajectory_ids = trajectory_ids


class _Sums(NamedTuple):
    """Accumulated over micro-batches: float32 gradients, the loss, its weight, metric pairs."""

    grads: Params
    loss: jax.Array
    weight: jax.Array
    metrics: Metrics


class _StepReport(NamedTuple):
    is_finite: jax.Array
    grad_norm: jax.Array
    learning_rate: jax.Array
    metrics: Metrics


class Learner:
    """Trains one policy with one objective on one mesh.

    Args:
      model: the policy.
      objective: called on dense arrays of each micro-batch.
      optimizer: a description such as `AdamW`.
      mesh: from `make_mesh`; one device by default.
      chunk_tokens: completion tokens whose logits are held at once; see `score_rows`.
    """

    def __init__(
        self,
        model: Transformer,
        objective: Objective,
        optimizer: Optimizer,
        mesh: Mesh | None = None,
        *,
        chunk_tokens: int = 1024,
    ):
        self.model = model
        self.objective = objective
        self.mesh = mesh if mesh is not None else make_mesh(data=1)
        self._chunk_tokens = chunk_tokens
        self._transformation = optimizer.transformation()
        self._schedule = optimizer.schedule()
        self._shapes = param_shapes(model.config)
        axes = logical_axes(model.config)
        self._rules = axis_rules(self.mesh, axes, self._shapes)
        everywhere = replicated(self.mesh)
        params = param_shardings(self.mesh, axes, self._shapes)
        self._shardings = TrainState(
            step=everywhere,
            params=params,
            opt_state=optimizer_shardings(self._transformation, self._shapes, params, self.mesh),
            key=everywhere,
        )
        sums = _Sums(params, everywhere, everywhere, everywhere)  # type: ignore[arg-type]
        self._zeros = jax.jit(self._zero_sums, out_shardings=sums)
        self._accumulate = jax.jit(
            self._add_micro_batch,
            in_shardings=(params, sums, batch_sharding(self.mesh)),
            out_shardings=(sums, everywhere),
            donate_argnums=1,
        )
        self._apply = jax.jit(
            self._apply_sums,
            in_shardings=(self._shardings, sums),
            out_shardings=(self._shardings, everywhere),
            donate_argnums=0,
        )
        self._metric_names: tuple[str, ...] | None = None

    def init(self, params: Params, *, seed: int = 0) -> TrainState:
        """Returns step 0. The parameters are copied: an update never destroys the caller's.

        Raises:
          UserError: a parameter is missing, or of another shape or type than the model's.
        """
        _check_params(params, self._shapes)
        # device_put may share buffers with its argument; a jitted copy never does.
        placed = jax.device_put(params, self._shardings.params)
        copy = jax.jit(partial(jax.tree.map, jnp.copy), out_shardings=self._shardings.params)
        params = copy(placed)
        init = jax.jit(self._transformation.init, out_shardings=self._shardings.opt_state)
        rest = (jnp.zeros((), jnp.int32), jax.random.key(seed))
        step, key = jax.device_put(rest, replicated(self.mesh))
        return TrainState(step, params, init(params), key)

    def abstract_state(self) -> TrainState:
        """Returns the state as shape structs with shardings: where a checkpoint is restored to."""

        def make(params: Params) -> TrainState:
            return TrainState(
                jnp.zeros((), jnp.int32),
                params,
                self._transformation.init(params),
                jax.random.key(0),
            )

        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            jax.eval_shape(make, self._shapes),
            self._shardings,
        )

    def update(self, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, float]]:
        """One optimizer step on all micro-batches together.

        Args:
          state: donated: use the returned one.
          batch: from `make_batch`.

        Returns:
          The next state and the metrics of this update; a metric without rows is left out.

        Raises:
          UserError: the rewards mean nothing to the objective, or rows do not divide over the mesh.
          NonFiniteLossError: the parameters are unchanged; the message names the trajectories.
        """
        self._check(batch)
        with on_mesh(self.mesh, self._rules):
            sums, losses = None, []
            for micro_batch in batch.micro_batches:
                arrays = self._on_device(micro_batch)
                if sums is None:
                    sums = self._first_sums(state.params, arrays)
                sums, loss_B = self._accumulate(state.params, sums, arrays)
                losses.append(loss_B)
            state, report = self._apply(state, sums)
        report = jax.device_get(report)
        if not report.is_finite:
            raise _non_finite(state, batch, [np.asarray(loss_B) for loss_B in losses])
        metrics = {name: float(n / d) for name, (n, d) in report.metrics.items() if d > 0}
        metrics["optimizer/grad_norm"] = float(report.grad_norm)
        metrics["optimizer/learning_rate"] = float(report.learning_rate)
        return state, metrics | batch.metrics()

    def _check(self, batch: Batch) -> None:
        self.objective.check_rewards(batch.rewards)
        shards = num_batch_shards(self.mesh)
        for micro_batch in batch.micro_batches:
            num_rows = micro_batch.rows.tokens_RL.shape[0]
            if num_rows % shards:
                raise UserError(
                    f"num_rows={num_rows} of a micro-batch must be divisible by the mesh's "
                    f"data * fsdp = {shards}"
                )

    def _on_device(self, micro_batch: MicroBatch) -> MicroBatch:
        sharding = batch_sharding(self.mesh)
        return jax.tree.map(
            lambda array: jax.make_array_from_process_local_data(sharding, array), micro_batch
        )

    def _first_sums(self, params: Params, micro_batch: MicroBatch) -> _Sums:
        if self._metric_names is None:
            output = jax.eval_shape(self._score, params, micro_batch)[1]
            self._metric_names = tuple(output.metrics)
        return self._zeros()

    def _zero_sums(self) -> _Sums:
        def zero() -> jax.Array:
            return jnp.zeros((), jnp.float32)

        assert self._metric_names is not None
        return _Sums(
            grads=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), self._shapes),
            loss=zero(),
            weight=zero(),
            metrics={name: (zero(), zero()) for name in self._metric_names},
        )

    def _score(self, params: Params, micro_batch: MicroBatch):
        rows = micro_batch.rows
        scores = score_rows(self.model, params, rows, chunk_tokens=self._chunk_tokens)
        inputs = ObjectiveInputs(
            logprobs_BT=scores.logprobs_BT,
            entropy_BT=scores.entropy_BT,
            mask_BT=rows.mask_RnT.reshape(scores.logprobs_BT.shape),
            reward_B=micro_batch.reward_B,
            weights_B=micro_batch.weights_B,
            group_B=micro_batch.group_B,
            is_online_B=micro_batch.is_online_B,
            ref_logprobs_BT=micro_batch.ref_logprobs_BT,
            initial_value_B=micro_batch.initial_value_B,
            behavior_logprobs_BT=micro_batch.behavior_logprobs_BT,
        )
        output = self.objective(inputs)
        return output.loss_sum, output

    def _add_micro_batch(
        self, params: Params, sums: _Sums, micro_batch: MicroBatch
    ) -> tuple[_Sums, jax.Array]:
        grads, output = jax.grad(self._score, has_aux=True)(params, micro_batch)
        added = _Sums(grads, output.loss_sum, output.weight_sum, output.metrics)
        sums = jax.tree.map(lambda total, new: total + new.astype(total.dtype), sums, added)
        return sums, output.loss_B

    def _apply_sums(self, state: TrainState, sums: _Sums) -> tuple[TrainState, _StepReport]:
        weight = jnp.where(sums.weight > 0, sums.weight, 1.0)
        grads = jax.tree.map(lambda grad: grad / weight, sums.grads)
        grad_norm = optax.global_norm(grads)
        is_finite = jnp.isfinite(grad_norm) & jnp.isfinite(sums.loss)
        updates, opt_state = self._transformation.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        step, params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(is_finite, new, old),
            (state.step + 1, params, opt_state),
            (state.step, state.params, state.opt_state),
        )
        report = _StepReport(
            is_finite, grad_norm, jnp.asarray(self._schedule(state.step)), sums.metrics
        )
        return TrainState(step, params, opt_state, state.key), report


def _check_params(params: Params, shapes: Params) -> None:
    given = {jax.tree_util.keystr(k): v for k, v in jax.tree_util.tree_leaves_with_path(params)}
    wanted = {jax.tree_util.keystr(k): v for k, v in jax.tree_util.tree_leaves_with_path(shapes)}
    if given.keys() != wanted.keys():
        differing = sorted(given.keys() ^ wanted.keys())
        raise UserError(f"parameters do not match the model; differing: {', '.join(differing)}")
    for name, leaf in wanted.items():
        got = given[name]
        if got.shape != leaf.shape or got.dtype != leaf.dtype:
            raise UserError(
                f"parameter {name} is {got.dtype}{list(got.shape)}, "
                f"the model's is {leaf.dtype}{list(leaf.shape)}"
            )


def _non_finite(state: TrainState, batch: Batch, losses: list[np.ndarray]) -> NonFiniteLossError:
    """Names the sequences whose loss is not finite, or else those with the largest."""
    pairs = [
        (name, float(loss))
        for ids, loss_B in zip(batch.trajectory_ids, losses, strict=True)
        for name, loss in zip(ids, loss_B, strict=True)
        if name
    ]
    culprits = tuple(name for name, loss in pairs if not np.isfinite(loss))
    what = "the loss is not finite"
    if not culprits:
        what = "the gradient is not finite though every loss is; the largest losses"
        culprits = tuple(name for name, _ in sorted(pairs, key=lambda pair: -abs(pair[1]))[:5])
    shown = ", ".join(culprits[:10]) + (", ..." if len(culprits) > 10 else "")
    message = (
        f"update {int(state.step) + 1}: {what} in {len(culprits)} of {len(pairs)} trajectories: "
        f"{shown}; the parameters are unchanged"
    )
    return NonFiniteLossError(message, state, culprits)
