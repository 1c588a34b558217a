"""From compiled programs to a verdict: peak memory of every program beside what stays in memory."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spo_jax.planning.programs import PROGRAMS, Compiled, Plan, Programs, Resident
from spo_jax.planning.topology import Chip, Slice

LEARNER = ("accumulate", "apply", "annotate")
SAMPLER = ("prefill", "decode")

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Efficiency:
    """Fractions of the published peaks that an estimate counts on."""

    compute: float = 0.5
    hbm: float = 0.8
    ici: float = 0.8


@dataclasses.dataclass(frozen=True)
class Terms:
    """Seconds that one run of a program takes by each limit alone."""

    compute_secs: float
    hbm_secs: float
    ici_secs: float

    @property
    def overlapped_secs(self) -> float:
        """Where the three overlap perfectly."""
        return max(self.compute_secs, self.hbm_secs, self.ici_secs)

    @property
    def serial_secs(self) -> float:
        """Where nothing overlaps."""
        return self.compute_secs + self.hbm_secs + self.ici_secs

    def times(self, count: float) -> "Terms":
        return Terms(self.compute_secs * count, self.hbm_secs * count, self.ici_secs * count)

    def __add__(self, other: "Terms") -> "Terms":
        return Terms(
            self.compute_secs + other.compute_secs,
            self.hbm_secs + other.hbm_secs,
            self.ici_secs + other.ici_secs,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Planned:
    """A plan on a slice, compiled.

    Attributes:
      plan, slice_name, chip, hosts: what and where.
      mesh, host_mesh: sizes by axis.
      bucket_rows: rows of a micro-batch. num_micro_batches: of an update.
      resident: bytes per chip between programs.
      programs: by name; some may be left out.
      shares_chips: the sampler takes turns with the learner on the same chips.
    """

    plan: Plan
    slice_name: str
    chip: Chip
    hosts: int
    mesh: Mapping[str, int]
    host_mesh: Mapping[str, int]
    bucket_rows: int
    num_micro_batches: int
    resident: Resident
    programs: Mapping[str, Compiled]
    shares_chips: bool

    def beside_bytes(self, name: str) -> int:
        """What is in memory while a program runs, besides its arguments, results and workspace.

        The published policy is what samplers read: a copy in the compute dtype, of which each
        call of the sampler makes one more, laid out for decoding.
        """
        r = self.resident
        published = r.sampler_params
        if name in SAMPLER:
            learner = r.state + r.reference if self.shares_chips else 0
            return published + learner + (r.cache if name == "prefill" else 0)
        published = published if self.shares_chips else 0
        if name == "accumulate":
            return r.optimizer + r.critic_optimizer + r.reference + published
        if name == "apply":
            return r.reference + published
        return r.state + published

    def peak_bytes(self, name: str) -> int:
        """Per chip, while a program runs."""
        program = self.programs[name]
        own = program.argument_bytes + program.output_bytes + program.temp_bytes
        return own + program.code_bytes + self.beside_bytes(name)

    def fits(self, name: str) -> bool:
        return not self.programs[name].failure and self.peak_bytes(name) <= self.chip.hbm_bytes

    @property
    def too_big(self) -> list[str]:
        return [name for name in self.programs if not self.fits(name)]

    def terms(self, name: str, efficiency: Efficiency) -> Terms:
        """One run of a program."""
        costs = self.programs[name].costs
        return Terms(
            costs.flops / (self.chip.flops_per_sec * efficiency.compute),
            costs.hbm_bytes / (self.chip.hbm_bytes_per_sec * efficiency.hbm),
            costs.wire_bytes / (self.chip.ici_bytes_per_sec * efficiency.ici),
        )

    def update_terms(self, efficiency: Efficiency) -> Terms | None:
        """All micro-batches and optimizer steps of an update."""
        if not {"accumulate", "apply"} <= self.programs.keys() or self.too_big_to_time:
            return None
        accumulate = self.terms("accumulate", efficiency).times(self.num_micro_batches)
        return (accumulate + self.terms("apply", efficiency)).times(self.plan.num_passes)

    @property
    def too_big_to_time(self) -> bool:
        return any(self.programs[n].failure for n in ("accumulate", "apply") if n in self.programs)

    def sampling_terms(self, efficiency: Efficiency) -> Terms | None:
        """All samples of an update, none of them ending early, over the hosts of the slice."""
        if not set(SAMPLER) <= self.programs.keys() or any(
            self.programs[name].failure for name in SAMPLER
        ):
            return None
        plan = self.plan
        samples = plan.problems_per_update * plan.completions_per_problem
        rounds = -(-samples // (plan.num_slots * self.hosts))
        calls = rounds * -(-plan.sampler_completion_tokens // plan.steps_per_call)
        prompts = -(-plan.problems_per_update // self.hosts)
        return self.terms("decode", efficiency).times(calls) + self.terms(
            "prefill", efficiency
        ).times(prompts)


def compile_plan(
    plan: Plan,
    where: Slice,
    *,
    names: Iterable[str] = PROGRAMS,
    shares_chips: bool = True,
    progress: Progress = lambda line: None,
    hlo_dir: str | None = None,
) -> Planned:
    """Compiles programs of a plan and puts their memory together.

    Args:
      plan, where: what is planned, on which slice.
      names: of `PROGRAMS`; 'annotate' is left out where the objective reads no reference.
      shares_chips: see `Planned`.
      progress: is told of every program that is compiled.
      hlo_dir: receives the compiled text of every program that fits.

    Raises:
      UserError: sizes that do not fit together.
    """
    programs = Programs(plan, where)
    compiled = {}
    for name in names:
        if name == "annotate" and not programs.has_reference:
            continue
        compiled[name] = one = programs.compiled(name, hlo_dir)
        outcome = f"does not fit: {one.failure}" if one.failure else "done"
        progress(f"compiled {name} in {one.compile_secs:.0f} s: {outcome}")
    return Planned(
        plan=plan,
        slice_name=where.name,
        chip=where.chip,
        hosts=where.hosts,
        mesh=dict(programs.mesh.shape),
        host_mesh=dict(programs.host_mesh.shape),
        bucket_rows=programs.bucket.num_rows,
        num_micro_batches=plan.num_micro_batches(programs.mesh),
        resident=programs.resident_bytes(),
        programs=compiled,
        shares_chips=shares_chips,
    )


def as_dict(planned: Planned, efficiency: Efficiency) -> dict[str, Any]:
    """All numbers, for `--json` and for tables."""
    update, sampling = planned.update_terms(efficiency), planned.sampling_terms(efficiency)
    return {
        "topology": planned.slice_name,
        "mesh": dict(planned.mesh),
        "sampler_mesh": dict(planned.host_mesh),
        "rows_per_micro_batch": planned.bucket_rows,
        "row_length": planned.plan.row_length,
        "micro_batches_per_update": planned.num_micro_batches,
        "hbm_bytes": planned.chip.hbm_bytes,
        "resident_bytes": dataclasses.asdict(planned.resident),
        "programs": {name: _program(planned, name) for name in planned.programs},
        "update_secs": None if update is None else _terms(update),
        "sampling_secs": None if sampling is None else _terms(sampling),
        "efficiency": dataclasses.asdict(efficiency),
        "too_big": planned.too_big,
        "fits": not planned.too_big,
    }


def _terms(terms: Terms) -> dict[str, float]:
    return dataclasses.asdict(terms) | {
        "overlapped_secs": terms.overlapped_secs,
        "serial_secs": terms.serial_secs,
    }


def _program(planned: Planned, name: str) -> dict[str, Any]:
    program = planned.programs[name]
    costs = program.costs
    return {
        "argument_bytes": program.argument_bytes,
        "output_bytes": program.output_bytes,
        "temp_bytes": program.temp_bytes,
        "code_bytes": program.code_bytes,
        "beside_bytes": planned.beside_bytes(name),
        "peak_bytes": planned.peak_bytes(name),
        "fits": planned.fits(name),
        "failure": program.failure,
        "flops": costs.flops,
        "hbm_traffic_bytes": costs.hbm_bytes,
        "payload_bytes": costs.payload_bytes,
        "wire_bytes": costs.wire_bytes,
        "collectives": {kind: dataclasses.asdict(t) for kind, t in costs.collectives.items()},
        "kernels": dict(costs.kernels),
        "compile_secs": program.compile_secs,
    }
