"""What would make a plan fit: settings to change, one at a time and then together, all compiled."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spo_jax.errors import UserError
from spo_jax.learning import AdamW
from spo_jax.planning.programs import Plan
from spo_jax.planning.topology import Slice
from spo_jax.planning.verdict import SAMPLER, Planned, Progress, compile_plan


@dataclasses.dataclass(frozen=True)
class Knob:
    """One change: the bindings that make it in a config, and what it does to a plan."""

    bindings: str
    turn: Callable[[Plan], Plan]


@dataclasses.dataclass(frozen=True)
class Trial:
    """Knobs that were tried together. `peak_bytes` is of the largest program; `refusal` why not."""

    bindings: tuple[str, ...]
    peak_bytes: int
    fits: bool
    refusal: str = ""


def knobs_for(planned: Planned) -> list[Knob]:
    """Changes that can lessen what does not fit, cheapest for the run first."""
    too_big = set(planned.too_big)
    found: list[Knob] = []
    if too_big - set(SAMPLER):
        found += _learner_knobs(planned)
    if too_big & set(SAMPLER):
        found += _sampler_knobs(planned)
    return found


def try_knobs(
    planned: Planned, where: Slice, *, progress: Progress = lambda line: None
) -> Iterator[Trial]:
    """Compiles what does not fit with each knob, then with the first 2, 3, ... of them.

    Stops at the first combination that fits; all single knobs are tried.
    """
    knobs = knobs_for(planned)
    helped = False
    for knob in knobs:
        trial = _tried(planned, where, [knob], progress)
        helped |= trial.fits
        yield trial
    for count in range(2, len(knobs) + 1):
        if helped:
            return
        trial = _tried(planned, where, knobs[:count], progress)
        helped |= trial.fits
        yield trial


def _tried(planned: Planned, where: Slice, knobs: Sequence[Knob], progress: Progress) -> Trial:
    bindings = tuple(knob.bindings for knob in knobs)
    progress(f"trying {', '.join(bindings)}")
    try:
        plan = planned.plan
        for knob in knobs:
            plan = knob.turn(plan)
        again = compile_plan(
            plan,
            where,
            names=planned.too_big,
            shares_chips=planned.shares_chips,
            progress=progress,
        )
    except UserError as error:
        return Trial(bindings, 0, False, str(error))
    peak = max(again.peak_bytes(name) for name in again.programs)
    return Trial(bindings, peak, not again.too_big)


def _learner_knobs(planned: Planned) -> list[Knob]:
    plan, mesh = planned.plan, planned.mesh
    found = []
    if plan.config.remat_policy != "full":
        found.append(_config("ModelSource.remat_policy", remat_policy="full"))
    shards = mesh["data"] * mesh["fsdp"]
    if planned.bucket_rows > shards:
        # So few tokens mean one row a shard, of this mesh and of any other.
        one_row = plan.row_length
        found.append(_field("BatchSettings.tokens_per_micro_batch", tokens_per_micro_batch=one_row))
    if plan.chunk_tokens > 256:
        found.append(
            _field("BatchSettings.logits_chunk_tokens", chunk_tokens=plan.chunk_tokens // 4)
        )
    if mesh["data"] > 1:
        found.append(_mesh(data=1, fsdp=shards))
    if shards > 1:
        found.append(_mesh(data=1, fsdp=shards // 2, tensor=mesh["tensor"] * 2))
        found.append(_mesh(data=1, fsdp=shards // 2, sequence=mesh["sequence"] * 2))
    if isinstance(plan.optimizer, AdamW) and plan.optimizer.moment_dtype is None:
        found.append(Knob("AdamW.moment_dtype='bfloat16'", _with_small_moments))
    if plan.config.param_dtype == "float32":
        found.append(_config("ModelSource.param_dtype", param_dtype="bfloat16"))
    return found


def _sampler_knobs(planned: Planned) -> list[Knob]:
    plan = planned.plan
    chips = planned.host_mesh["data"] * planned.host_mesh["tensor"]
    found = []
    if plan.sampler_tensor < chips:
        found.append(_field("RolloutSettings.tensor", sampler_tensor=chips))
    slots = plan.num_slots // 4 // chips * chips
    if slots:
        found.append(_field("RolloutSettings.num_slots", num_slots=slots))
    return found


def _field(binding: str, **change: Any) -> Knob:
    (value,) = change.values()
    return Knob(f"{binding}={value}", lambda plan: dataclasses.replace(plan, **change))


def _config(binding: str, **change: str) -> Knob:
    (value,) = change.values()
    return Knob(
        f"{binding}='{value}'",
        lambda plan: dataclasses.replace(plan, config=plan.config.replace(**change)),
    )


def _mesh(**sizes: int) -> Knob:
    def turn(plan: Plan) -> Plan:
        return dataclasses.replace(plan, mesh={**plan.mesh, **sizes})

    return Knob(" ".join(f"MeshShape.{axis}={size}" for axis, size in sizes.items()), turn)


def _with_small_moments(plan: Plan) -> Plan:
    def small(optimizer: Any) -> Any:
        if not isinstance(optimizer, AdamW):
            return optimizer
        return dataclasses.replace(optimizer, moment_dtype="bfloat16")

    return dataclasses.replace(
        plan, optimizer=small(plan.optimizer), critic_optimizer=small(plan.critic_optimizer)
    )
