"""The learner: gradients of sums over micro-batches, divided once, and one optimizer step a pass.

Letters: B sequences of a micro-batch, T completion tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding

from spo_jax.errors import UserError
from spo_jax.learning.batch import Batch, MicroBatch, empty_micro_batch
from spo_jax.learning.layout import RowBucket
from spo_jax.learning.optimizer import AdamW, Optimizer
from spo_jax.learning.state import CriticState, Trained, TrainState
from spo_jax.models.transformer import Params, Transformer, logical_axes, param_shapes
from spo_jax.models.value_model import ValueModel
from spo_jax.objectives.diagnostics import finished_metrics
from spo_jax.objectives.interface import Metrics, Objective, ObjectiveInputs, ObjectiveOutput
from spo_jax.placement import from_host
from spo_jax.scoring import score_rows, value_rows
from spo_jax.sharding import batch_sharding, check_rows, make_mesh, on_mesh, replicated


class Updated(NamedTuple):
    """What an update returns.

    Attributes:
      state: the next one.
      metrics: of this update's first pass, and as `last_pass/...` of its last where there are
        several; a metric without rows is left out.
      initial_values: what the batch says Q_0 of its problems is, in units of reward; empty where
        the objective keeps no running estimate.
    """

    state: TrainState
    metrics: dict[str, float]
    initial_values: dict[str, float]


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
    """Accumulated over micro-batches: float32 gradients, the loss, its weight, metric pairs.

    `grads` are those of the policy and of the critic (None without one).
    """

    grads: tuple[Params, Params | None]
    loss: jax.Array
    weight: jax.Array
    metrics: Metrics


class _RowOutputs(NamedTuple):
    """What a micro-batch tells of its sequences. The [B, T] arrays are kept for later passes."""

    loss_B: jax.Array
    initial_value_B: jax.Array | None
    logprobs_BT: jax.Array | None
    values_BT: jax.Array | None


class _StepReport(NamedTuple):
    is_finite: jax.Array
    optimizer: dict[str, jax.Array]
    metrics: Metrics


class Learner:
    """Trains one policy, and a critic where the objective reads values, on one mesh.

    Args:
      model: the policy.
      objective: called on dense arrays of each micro-batch.
      optimizer: a description such as `AdamW`.
      mesh: from `make_mesh`; one device by default.
      critic_optimizer: of the value model; unused where the objective needs no 'values'.
      num_passes: optimizer steps on each batch. From the second on, objectives see the logprobs
        and values from before the first as the proximal ones.
      chunk_tokens: completion tokens whose logits are held at once; see `score_rows`.

    Raises:
      UserError: num_passes below 1.
    """

    def __init__(
        self,
        model: Transformer,
        objective: Objective,
        optimizer: Optimizer,
        mesh: Mesh | None = None,
        *,
        critic_optimizer: Optimizer = AdamW(),
        num_passes: int = 1,
        chunk_tokens: int = 1024,
    ):
        if num_passes < 1:
            raise UserError(f"num_passes={num_passes} must be at least 1")
        self.model = model
        self.objective = objective
        self.mesh = mesh if mesh is not None else make_mesh(data=1)
        self._num_passes = num_passes
        self._chunk_tokens = chunk_tokens
        self._policy = Trained(
            optimizer, self.mesh, logical_axes(model.config), param_shapes(model.config)
        )
        self._critic_model = ValueModel(model.config) if "values" in objective.needs else None
        self._critic = None
        if self._critic_model is not None:
            axes, shapes = self._critic_model.logical_axes(), self._critic_model.param_shapes()
            self._critic = Trained(critic_optimizer, self.mesh, axes, shapes)
        everywhere, batch = replicated(self.mesh), batch_sharding(self.mesh)
        critic = None
        if self._critic is not None:
            critic = CriticState(self._critic.params_sharding, self._critic.opt_sharding)
        params = (self._policy.params_sharding, critic.params if critic else None)
        self._shardings = TrainState(
            step=everywhere,
            params=self._policy.params_sharding,
            opt_state=self._policy.opt_sharding,
            key=everywhere,
            critic=critic,
        )
        self._sums_sharding = _Sums(params, everywhere, everywhere, everywhere)  # type: ignore[arg-type]
        self._zeros = jax.jit(self._zero_sums, out_shardings=self._sums_sharding)
        self._accumulate = jax.jit(
            self._add_micro_batch,
            in_shardings=(params, self._sums_sharding, batch, everywhere),
            out_shardings=(
                self._sums_sharding,
                _RowOutputs(everywhere, everywhere, batch, batch),  # type: ignore[arg-type]
            ),
            donate_argnums=1,
        )
        # A failed later pass goes back to the state before the first, which is kept for that.
        self._apply_first = self._compiled_apply(donate=num_passes == 1)
        self._apply = self._compiled_apply(donate=True)
        self._metric_names: tuple[str, ...] | None = None

    def init(self, params: Params, *, seed: int = 0) -> TrainState:
        """Returns step 0. The parameters are copied: an update never destroys the caller's.

        A critic starts from the same parameters, with a head that predicts 0.

        Raises:
          UserError: a parameter is missing, or of another shape or type than the model's.
        """
        # Made on the mesh, which may be of several processes.
        start = jax.jit(
            lambda: (jnp.zeros((), jnp.int32), jax.random.key(seed)),
            out_shardings=replicated(self.mesh),
        )
        step, key = start()
        critic = None
        if self._critic_model is not None and self._critic is not None:
            critic = CriticState(*self._critic.init(self._critic_model.start_from(params)))
        return TrainState(step, *self._policy.init(params), key, critic)

    def abstract_state(self) -> TrainState:
        """Returns the state as shape structs with shardings: where a checkpoint is restored to."""

        def make(params: Params, critic_params: Params | None) -> TrainState:
            critic = None
            if self._critic is not None and critic_params is not None:
                init = self._critic.transformation.init
                critic = CriticState(critic_params, init(critic_params))
            opt_state = self._policy.transformation.init(params)
            return TrainState(
                jnp.zeros((), jnp.int32), params, opt_state, jax.random.key(0), critic
            )

        critic_shapes = self._critic.shapes if self._critic else None
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            jax.eval_shape(make, self._policy.shapes, critic_shapes),
            self._shardings,
        )

    def lowered(self, bucket: RowBucket) -> dict[str, jax.stages.Lowered]:
        """The programs of an update, traced from shapes alone: no array is made anywhere.

        Returns:
          'accumulate', which adds one micro-batch of the bucket to the gradients, and 'apply'.
        """
        state = self.abstract_state()
        params = (state.params, state.critic.params if state.critic else None)
        micro_batch = _abstract(
            empty_micro_batch(bucket, self.objective.needs), batch_sharding(self.mesh)
        )
        with on_mesh(self.mesh, self._policy.rules):
            self._learn_metric_names(params, micro_batch, state.step)
            sums = jax.eval_shape(self._zero_sums)
            everywhere = replicated(self.mesh)
            sums = _Sums(
                jax.tree.map(_abstract, sums.grads, self._sums_sharding.grads),
                *(_abstract(rest, everywhere) for rest in sums[1:]),
            )
            accumulate = self._accumulate.lower(params, sums, micro_batch, state.step)
            apply = self._apply_first.lower(state, sums, 0, self._num_passes == 1)
        return {"accumulate": accumulate, "apply": apply}

    def update(self, state: TrainState, batch: Batch) -> Updated:
        """One update on all micro-batches together: an optimizer step for each pass over them.

        Args:
          state: donated: use the returned one.
          batch: from `make_batch`.

        Raises:
          UserError: the rewards mean nothing to the objective, or rows do not divide over the mesh.
          NonFiniteLossError: the parameters are unchanged; the message names the trajectories.
        """
        self._check(batch)
        before = state
        outputs: Sequence[_RowOutputs] = ()
        reports = []
        for number in range(self._num_passes):
            with on_mesh(self.mesh, self._policy.rules):
                sums, new_outputs = self._gradients(state, batch, outputs)
                apply = self._apply if number else self._apply_first
                state, report = apply(state, sums, number, number == self._num_passes - 1)
            reports.append(jax.device_get(report))
            if not reports[-1].is_finite:
                unchanged = state if self._num_passes == 1 else before
                raise _non_finite(unchanged, batch, [np.asarray(o.loss_B) for o in new_outputs])
            outputs = outputs or new_outputs
        metrics = finished_metrics(reports[0].metrics)
        if self._num_passes > 1:
            last = finished_metrics(reports[-1].metrics)
            metrics |= {f"last_pass/{name}": value for name, value in last.items()}
        metrics |= {f"optimizer/{name}": float(x) for name, x in reports[-1].optimizer.items()}
        return Updated(state, metrics | batch.metrics(), _initial_values(batch, outputs))

    def _check(self, batch: Batch) -> None:
        self.objective.check_rewards(batch.rewards)
        for micro_batch in batch.micro_batches:
            num_rows, row_length = micro_batch.rows.tokens_RL.shape
            check_rows(self.mesh, num_rows=num_rows, row_length=row_length)

    def _gradients(
        self, state: TrainState, batch: Batch, first_outputs: Sequence[_RowOutputs]
    ) -> tuple[_Sums, list[_RowOutputs]]:
        """Sums over the micro-batches; `first_outputs` are those of the first pass, once there."""
        params = (state.params, state.critic.params if state.critic else None)
        sums, outputs = None, []
        for number, micro_batch in enumerate(batch.micro_batches):
            arrays = self._on_device(micro_batch)
            if first_outputs:
                arrays = arrays._replace(
                    proximal_logprobs_BT=first_outputs[number].logprobs_BT,
                    proximal_values_BT=first_outputs[number].values_BT,
                )
            if sums is None:
                sums = self._first_sums(params, arrays, state.step)
            sums, output = self._accumulate(params, sums, arrays, state.step)
            outputs.append(output)
        assert sums is not None  # a batch has at least one micro-batch
        return sums, outputs

    def _on_device(self, micro_batch: MicroBatch) -> MicroBatch:
        """Every process has the whole batch and places the rows of its own devices."""
        sharding = batch_sharding(self.mesh)
        return jax.tree.map(lambda array: from_host(array, sharding), micro_batch)

    def _first_sums(self, params: Any, micro_batch: MicroBatch, step: jax.Array) -> _Sums:
        self._learn_metric_names(params, micro_batch, step)
        return self._zeros()

    def _learn_metric_names(self, params: Any, micro_batch: MicroBatch, step: Any) -> None:
        if self._metric_names is None:
            output = jax.eval_shape(self._score, params, micro_batch, step)[1][0]
            self._metric_names = tuple(output.metrics)

    def _zero_sums(self) -> _Sums:
        def zero() -> jax.Array:
            return jnp.zeros((), jnp.float32)

        assert self._metric_names is not None
        return _Sums(
            grads=(self._policy.zeros(), self._critic.zeros() if self._critic else None),
            loss=zero(),
            weight=zero(),
            metrics={name: (zero(), zero()) for name in self._metric_names},
        )

    def _score(
        self, params: tuple[Params, Params | None], micro_batch: MicroBatch, step: jax.Array
    ) -> tuple[jax.Array, tuple[ObjectiveOutput, _RowOutputs]]:
        rows = micro_batch.rows
        scores = score_rows(self.model, params[0], rows, chunk_tokens=self._chunk_tokens)
        values_BT = None
        if self._critic_model is not None:
            values_BT = value_rows(self._critic_model, params[1], rows)
        inputs = ObjectiveInputs(
            logprobs_BT=scores.logprobs_BT,
            entropy_BT=scores.entropy_BT,
            mask_BT=rows.mask_RnT.reshape(scores.logprobs_BT.shape),
            reward_B=micro_batch.reward_B,
            weights_B=micro_batch.weights_B,
            group_B=micro_batch.group_B,
            is_online_B=micro_batch.is_online_B,
            step=step,
            ref_logprobs_BT=micro_batch.ref_logprobs_BT,
            initial_value_B=micro_batch.initial_value_B,
            behavior_logprobs_BT=micro_batch.behavior_logprobs_BT,
            values_BT=values_BT,
            proximal_logprobs_BT=micro_batch.proximal_logprobs_BT,
            proximal_values_BT=micro_batch.proximal_values_BT,
        )
        output = self.objective(inputs)
        kept = (scores.logprobs_BT, values_BT) if self._num_passes > 1 else (None, None)
        return output.loss_sum, (output, _RowOutputs(output.loss_B, output.initial_value_B, *kept))

    def _add_micro_batch(
        self, params: Any, sums: _Sums, micro_batch: MicroBatch, step: jax.Array
    ) -> tuple[_Sums, _RowOutputs]:
        grads, (output, rows) = jax.grad(self._score, has_aux=True)(params, micro_batch, step)
        added = _Sums(grads, output.loss_sum, output.weight_sum, output.metrics)
        sums = jax.tree.map(lambda total, new: total + new.astype(total.dtype), sums, added)
        return sums, rows

    def _compiled_apply(self, *, donate: bool) -> Any:
        return jax.jit(
            self._apply_sums,
            in_shardings=(self._shardings, self._sums_sharding),
            out_shardings=(self._shardings, replicated(self.mesh)),
            donate_argnums=0 if donate else (),
            static_argnums=(2, 3),
        )

    def _apply_sums(
        self, state: TrainState, sums: _Sums, pass_number: int, is_last_pass: bool
    ) -> tuple[TrainState, _StepReport]:
        weight = jnp.where(sums.weight > 0, sums.weight, 1.0)
        grads, critic_grads = jax.tree.map(lambda grad: grad / weight, sums.grads)
        rate = self._policy.schedule(state.step * self._num_passes + pass_number)
        report = {"grad_norm": optax.global_norm(grads), "learning_rate": jnp.asarray(rate)}
        params, opt_state = self._policy.step(grads, state.params, state.opt_state)
        critic = state.critic
        if self._critic is not None and critic is not None:
            report["critic_grad_norm"] = optax.global_norm(critic_grads)
            critic = CriticState(*self._critic.step(critic_grads, critic.params, critic.opt_state))
        norms = [norm for name, norm in report.items() if name.endswith("grad_norm")]
        is_finite = jnp.isfinite(sums.loss) & jnp.isfinite(jnp.stack(norms)).all()
        new = state._replace(
            step=state.step + int(is_last_pass), params=params, opt_state=opt_state, critic=critic
        )
        old_or_new = jax.tree.map(
            lambda new, old: jnp.where(is_finite, new, old),
            new._replace(key=None),
            state._replace(key=None),
        )
        return old_or_new._replace(key=state.key), _StepReport(is_finite, report, sums.metrics)


def _abstract(tree: Any, sharding: NamedSharding) -> Any:
    """Shapes of the arrays of a tree, all in one place."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )


def _initial_values(batch: Batch, outputs: Sequence[_RowOutputs]) -> dict[str, float]:
    """By problem, from any of its sequences: they all say the same."""
    return {
        problem: float(value)
        for problems, output in zip(batch.problem_ids, outputs, strict=True)
        if output.initial_value_B is not None
        for problem, value in zip(problems, np.asarray(output.initial_value_B), strict=True)
        if problem
    }


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
