"""The programs of a run, compiled for a slice from shapes alone: nothing is loaded or computed.

They are lowered by the very objects that a run uses: `Learner`, `ReferenceScorer`, `Sampler`.
"""

import dataclasses
import functools
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from spo_jax.acting.annotator import ReferenceScorer
from spo_jax.errors import UserError
from spo_jax.learning import AdamW, Learner, RowBucket, row_buckets
from spo_jax.learning.optimizer import Optimizer
from spo_jax.models import ModelConfig, Transformer
from spo_jax.models.splash import block_size
from spo_jax.objectives import Objective
from spo_jax.planning.costs import Costs, program_costs
from spo_jax.planning.topology import Slice
from spo_jax.sampling import Sampler
from spo_jax.sharding import make_mesh, num_batch_shards

_ADAMW, _NO_COSTS = AdamW(), Costs()
PROGRAMS = ("accumulate", "apply", "annotate", "prefill", "decode")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What of a run decides its programs.

    Attributes:
      config: of the policy, with dtypes, remat policy and attention as the run sets them.
      objective, optimizer, critic_optimizer, num_passes: see `train`.
      mesh: sizes along the axes of `make_mesh`.
      row_length: of the longest bucket. tokens_per_micro_batch, chunk_tokens: see `BatchSettings`.
      problems_per_update, completions_per_problem: sequences of an update.
      max_prompt_tokens, max_completion_tokens: of one sequence.
      num_slots: of the sampler. steps_per_call: decoding steps of one call.
      sampler_prompt_tokens, sampler_completion_tokens: what a slot's cache has room for.
      sampler_tensor: chips of a host that a layer of the sampler is split over.
    """

    config: ModelConfig
    objective: Objective
    optimizer: Optimizer = _ADAMW
    critic_optimizer: Optimizer = _ADAMW
    num_passes: int = 1
    mesh: Mapping[str, int | None] = dataclasses.field(default_factory=dict)
    row_length: int
    tokens_per_micro_batch: int
    chunk_tokens: int = 1024
    problems_per_update: int
    completions_per_problem: int
    max_prompt_tokens: int
    max_completion_tokens: int
    num_slots: int
    steps_per_call: int = 16
    sampler_prompt_tokens: int
    sampler_completion_tokens: int
    sampler_tensor: int = 1

    def bucket(self, mesh: Mesh) -> RowBucket:
        (bucket,) = row_buckets(
            (self.row_length,),
            tokens_per_micro_batch=self.tokens_per_micro_batch,
            completions_per_row=self.completions_per_problem,
            max_completion_tokens=self.max_completion_tokens,
            row_multiple=num_batch_shards(mesh),
        )
        return bucket

    def num_micro_batches(self, mesh: Mesh) -> int:
        """Of an update whose prompts and completions are all as long as they may be."""
        room = self.row_length - self.max_prompt_tokens
        per_row = max(1, min(self.completions_per_problem, room // self.max_completion_tokens))
        rows = self.problems_per_update * math.ceil(self.completions_per_problem / per_row)
        return math.ceil(rows / self.bucket(mesh).num_rows)


@dataclasses.dataclass(frozen=True)
class Compiled:
    """One program on one chip.

    Attributes:
      name: of `PROGRAMS`.
      argument_bytes, temp_bytes, code_bytes: in HBM. output_bytes: those not in a donated argument.
      costs: of one run.
      compile_secs: wall clock.
      failure: why it cannot be compiled, else ''. Then the sizes are what the compiler said.
    """

    name: str
    argument_bytes: int = 0
    output_bytes: int = 0
    temp_bytes: int = 0
    code_bytes: int = 0
    costs: Costs = _NO_COSTS
    compile_secs: float = 0.0
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class Resident:
    """Bytes per chip that stay in memory between programs; see `resident_bytes`."""

    params: int
    optimizer: int
    critic_params: int
    critic_optimizer: int
    gradients: int
    reference: int
    sampler_params: int
    cache: int

    @property
    def state(self) -> int:
        """What the learner keeps from update to update."""
        return self.params + self.optimizer + self.critic_params + self.critic_optimizer


class Programs:
    """Lowers and compiles the programs of a plan, one at a time.

    Args:
      plan: what to compile.
      where: the slice.

    Raises:
      UserError: sizes that do not fit together, as a run would say.
    """

    def __init__(self, plan: Plan, where: Slice):
        self.plan = plan
        sizes: dict[str, Any] = dict(plan.mesh)
        self.mesh = make_mesh(devices=where.devices, **sizes)
        self.bucket = plan.bucket(self.mesh)
        model = Transformer(plan.config)
        self.learner = Learner(
            model,
            plan.objective,
            plan.optimizer,
            self.mesh,
            critic_optimizer=plan.critic_optimizer,
            num_passes=plan.num_passes,
            chunk_tokens=plan.chunk_tokens,
        )
        self.has_reference = bool(plan.objective.needs & {"ref_logprobs", "initial_value"})
        self._scorer = ReferenceScorer(
            model, (self.bucket,), pad_id=0, chunk_tokens=plan.chunk_tokens, mesh=self.mesh
        )
        host_mesh = where.host_mesh(plan.sampler_tensor)
        self.sampler = Sampler(
            model,
            eos_ids=plan.config.eos_ids,
            num_slots=plan.num_slots,
            max_prompt_tokens=plan.sampler_prompt_tokens,
            max_completion_tokens=plan.sampler_completion_tokens,
            steps_per_call=plan.steps_per_call,
            mesh=host_mesh,
        )
        self.host_mesh = host_mesh

    def compiled(self, name: str, hlo_dir: str | None = None) -> Compiled:
        """Compiles one of `PROGRAMS`. What does not fit comes back as a failure, not an error.

        Args:
          name: which.
          hlo_dir: where its compiled text is written, if anywhere.
        """
        begin = time.perf_counter()
        devices, trips = self.mesh.size, 1
        if name in ("accumulate", "apply"):
            lowered = self._update[name]
        elif name == "annotate":
            lowered = self._scorer.lowered(self.bucket)
        else:
            lowered = self._sampling[name]
            devices = self.host_mesh.size
            trips = self.plan.steps_per_call
            if name == "prefill":
                trips = -(-self.plan.sampler_prompt_tokens // self.sampler.prefill_chunk)
        count = functools.partial(
            program_costs,
            num_devices=devices,
            dynamic_trips=trips,
            splash_share=self._splash_share(),
        )
        return _compile(name, lowered, begin, count, hlo_dir)

    def _splash_share(self) -> float:
        """Of the blocks of a chip's queries and keys, those that a call visits if rows are full.

        That is the causal half of every row, in two calls: own segments and prompts.
        """
        rows = self.bucket.num_rows // num_batch_shards(self.mesh)
        length = self.bucket.row_length
        return (1 + block_size(length) / length) / 2 / 2 / rows

    @functools.cached_property
    def _update(self) -> dict[str, jax.stages.Lowered]:
        return self.learner.lowered(self.bucket)

    @functools.cached_property
    def _sampling(self) -> dict[str, jax.stages.Lowered]:
        return self.sampler.lowered()

    def resident_bytes(self) -> Resident:
        """What lies on each chip between programs."""
        state = self.learner.abstract_state()
        critic = state.critic
        policy_grads = _float32_bytes(state.params)
        critic_grads = _float32_bytes(critic.params) if critic else 0
        sampler_params, slots = self.sampler.abstract_arrays()
        return Resident(
            params=_bytes(state.params),
            optimizer=_bytes(state.opt_state),
            critic_params=_bytes(critic.params) if critic else 0,
            critic_optimizer=_bytes(critic.opt_state) if critic else 0,
            gradients=policy_grads + critic_grads,
            reference=_bytes(state.params) if self.has_reference else 0,
            sampler_params=_bytes(sampler_params),
            cache=_bytes(slots),
        )


def _compile(
    name: str,
    lowered: jax.stages.Lowered,
    begin: float,
    count: Callable[[str], Costs],
    hlo_dir: str | None,
) -> Compiled:
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        secs = time.perf_counter() - begin
        return Compiled(name, compile_secs=secs, **_out_of_memory(str(error)))
    memory = compiled.memory_analysis()
    text = compiled.as_text()
    if memory is None or text is None:
        raise UserError(f"the compiler says nothing of the memory of '{name}'")
    if hlo_dir is not None:
        Path(hlo_dir).mkdir(parents=True, exist_ok=True)
        (Path(hlo_dir) / f"{name}.txt").write_text(text, encoding="utf-8")
    output_bytes = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return Compiled(
        name,
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=output_bytes,
        temp_bytes=_temp_bytes(memory, output_bytes),
        code_bytes=memory.generated_code_size_in_bytes,
        costs=count(text),
        compile_secs=time.perf_counter() - begin,
    )


def _temp_bytes(memory: Any, output_bytes: int) -> int:
    """What a program needs beyond its arguments and results.

    For TPUs, `temp_size_in_bytes` of a program with a loop counts some buffers more than once; the
    peak agrees with what the compiler assigns, but for fragmentation.
    """
    if not memory.peak_memory_in_bytes:
        return memory.temp_size_in_bytes
    own = memory.argument_size_in_bytes + output_bytes
    return max(0, memory.peak_memory_in_bytes - own)


# The second is said before anything is laid out.
_USED = (
    re.compile(r"Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm"),
    re.compile(r"\(([\d.]+)([KMGT])\) exceeds available HBM \(([\d.]+)([KMGT])\)"),
)
_ARGUMENTS = re.compile(r"arguments\s+([\d.]+)([KMGT])")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _out_of_memory(message: str) -> dict[str, Any]:
    """Sizes from the compiler's refusal; anything else is raised again."""
    used = next(filter(None, (said.search(message) for said in _USED)), None)
    if not used:
        raise RuntimeError(message)
    arguments = _ARGUMENTS.search(message)
    argument_bytes = _size(*arguments.groups()) if arguments else 0
    return {
        "argument_bytes": argument_bytes,
        "temp_bytes": max(0, _size(*used.groups()[:2]) - argument_bytes),
        "failure": f"needs {used.group(1)}{used.group(2)} of {used.group(3)}{used.group(4)}",
    }


def _size(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])


def _shard_bytes(leaf: Any, itemsize: Callable[[Any], int]) -> int:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended):
        return 0  # the run's key
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * itemsize(leaf)


def _bytes(tree: Any) -> int:
    """Of the part of a tree of sharded shapes that lies on one chip."""
    return sum(_shard_bytes(leaf, lambda x: x.dtype.itemsize) for leaf in jax.tree.leaves(tree))


def _float32_bytes(tree: Any) -> int:
    return sum(_shard_bytes(leaf, lambda _: 4) for leaf in jax.tree.leaves(tree))
