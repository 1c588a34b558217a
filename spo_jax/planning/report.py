"""A plan in words: tables for a terminal."""

from collections.abc import Sequence

from spo_jax.planning.knobs import Trial
from spo_jax.planning.topology import GIB
from spo_jax.planning.verdict import Efficiency, Planned, Terms

_MEANING = {
    "accumulate": "one micro-batch, forward and backward",
    "apply": "one optimizer step",
    "annotate": "reference logprobs of one micro-batch",
    "prefill": "one batch of prompts, on a host's chips",
    "decode": "one call of the sampler, on a host's chips",
}


def format_plan(planned: Planned, efficiency: Efficiency) -> str:
    """The whole report but for what was tried to make it fit."""
    parts = [
        _header(planned),
        _resident(planned),
        _memory(planned),
        _work(planned),
        _times(planned, efficiency),
        _verdict(planned),
    ]
    return "\n\n".join(parts) + "\n"


def format_trials(trials: Sequence[Trial], planned: Planned) -> str:
    """What was tried, and what would fit."""
    rows = [
        [
            " ".join(trial.bindings),
            trial.refusal or f"{_gib(trial.peak_bytes)}",
            "fits" if trial.fits else ("refused" if trial.refusal else "does not fit"),
        ]
        for trial in trials
    ]
    lines = [_table(["tried", "largest peak, GiB", ""], rows)]
    fitting = [" ".join(trial.bindings) for trial in trials if trial.fits]
    lines.append(
        "would fit: " + "; or ".join(fitting)
        if fitting
        else f"nothing that was tried fits {planned.slice_name}: take a larger slice"
    )
    return "\n".join(lines) + "\n"


def _header(planned: Planned) -> str:
    mesh = " ".join(f"{axis}={size}" for axis, size in planned.mesh.items() if size > 1) or "1 chip"
    chips = 1
    for size in planned.mesh.values():
        chips *= size
    where = "on the learner's chips, in turns" if planned.shares_chips else "on chips of its own"
    host = " ".join(f"{axis}={size}" for axis, size in planned.host_mesh.items() if size > 1)
    return (
        f"{planned.slice_name}: {chips} chips of {planned.chip.hbm_bytes / GIB:.2f} GiB, "
        f"{planned.hosts} hosts; learner {mesh}; sampler {where}, per host {host or '1 chip'}\n"
        f"an update: {planned.num_micro_batches} micro-batches of {planned.bucket_rows} rows of "
        f"{planned.plan.row_length} tokens (all sequences as long as they may be)"
    )


def _resident(planned: Planned) -> str:
    r = planned.resident
    rows = [("parameters", r.params), ("optimizer", r.optimizer)]
    if r.critic_params:
        rows += [("critic's parameters", r.critic_params), ("its optimizer", r.critic_optimizer)]
    rows.append(("gradients (float32 sums)", r.gradients))
    if r.reference:
        rows.append(("reference (for annotation)", r.reference))
    rows += [("published policy (sampler)", r.sampler_params), ("KV cache (sampler)", r.cache)]
    return _table(["in memory, per chip", "GiB"], [[name, _gib(size)] for name, size in rows])


def _memory(planned: Planned) -> str:
    rows = []
    for name, program in planned.programs.items():
        rows.append(
            [
                name,
                _MEANING[name],
                _gib(program.argument_bytes + program.output_bytes),
                _gib(program.temp_bytes),
                _gib(planned.beside_bytes(name)),
                _gib(planned.peak_bytes(name)),
                "fits" if planned.fits(name) else program.failure or "does not fit",
            ]
        )
    heads = ["program", "is", "arguments", "temporaries", "beside it", "peak", ""]
    return _table(heads, rows)


def _work(planned: Planned) -> str:
    rows = []
    for name, program in planned.programs.items():
        costs = program.costs
        kinds = sorted(costs.collectives.items(), key=lambda pair: -pair[1].payload_bytes)
        moved = ", ".join(
            f"{kind} {traffic.payload_bytes / 1e9:.2f}"
            for kind, traffic in kinds
            if traffic.payload_bytes >= 5e6
        )
        rows.append(
            [
                name,
                f"{costs.flops / 1e12:.2f}",
                f"{costs.hbm_bytes / 1e9:.1f}",
                f"{costs.wire_bytes / 1e9:.2f}",
                moved or "-",
            ]
        )
    heads = ["program, per chip", "TFLOP", "HBM GB", "sent GB", "collectives, GB of arrays"]
    return _table(heads, rows)


def _times(planned: Planned, efficiency: Efficiency) -> str:
    rows = []
    for label, terms in (
        ("update", planned.update_terms(efficiency)),
        ("sampling for an update", planned.sampling_terms(efficiency)),
    ):
        if terms is not None:
            rows.append([label, *_seconds(terms)])
    if not rows:
        return "no estimate: it takes 'accumulate' and 'apply', or 'prefill' and 'decode'"
    heads = ["estimate, s", "compute", "HBM", "ICI", "all overlap", "none do"]
    chip = planned.chip
    return (
        _table(heads, rows)
        + f"\nassumed: {efficiency.compute:.0%} of {chip.flops_per_sec / 1e12:.0f} TFLOP/s "
        f"(bfloat16 peak), {efficiency.hbm:.0%} of {chip.hbm_bytes_per_sec / 1e9:.0f} GB/s of HBM, "
        f"{efficiency.ici:.0%} of {chip.ici_bytes_per_sec / 1e9:.0f} GB/s sent over ICI, rings"
    )


def _seconds(terms: Terms) -> list[str]:
    values = (
        terms.compute_secs,
        terms.hbm_secs,
        terms.ici_secs,
        terms.overlapped_secs,
        terms.serial_secs,
    )
    return [f"{value:.3g}" for value in values]


def _verdict(planned: Planned) -> str:
    if not planned.too_big:
        peak = max(planned.peak_bytes(name) for name in planned.programs)
        left = planned.chip.hbm_bytes - peak
        return f"fits: {_gib(peak)} GiB at most, {_gib(left)} GiB to spare"
    return "does not fit: " + ", ".join(planned.too_big)


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [
        max(len(str(row[i])) for row in (heads, *rows)) if rows else len(heads[i])
        for i in range(len(heads))
    ]
    lines = []
    for row in (heads, *rows):
        cells = [
            str(cell).ljust(width) if _is_text(cell) else str(cell).rjust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _is_text(cell: str) -> bool:
    return not str(cell).replace(".", "").replace("-", "").replace("e", "").isdigit()
