"""What `spo plan` takes from the arguments of `train`: nothing is loaded or computed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError
from spo_jax.learning import AdamW
from spo_jax.models import ModelConfig, load_config
from spo_jax.models.families import parse_config
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.planning.programs import Plan
from spo_jax.running.settings import BatchSettings, MeshShape, ModelSource, RolloutSettings


def planned_run(arguments: dict[str, Any]) -> Plan:
    """Returns the plan of a run.

    Args:
      arguments: keyword arguments of `train`; what does not decide a program's shape is ignored.

    Raises:
      UserError: there is no such model, or a setting is not supported.
    """
    batch = arguments.get("batch", BatchSettings())
    rollouts = arguments.get("rollouts", RolloutSettings())
    optimizer = arguments.get("optimizer", AdamW())
    last_turn = rollouts.tokens_before_turn(rollouts.max_turns - 1)
    return Plan(
        config=_config(arguments.get("policy", ModelSource())),
        objective=arguments.get("objective", SoftPolicyOptimization()),
        optimizer=optimizer,
        critic_optimizer=arguments.get("critic_optimizer") or optimizer,
        num_passes=batch.num_passes,
        mesh=dataclasses.asdict(arguments.get("mesh", MeshShape())),
        row_length=max(batch.row_lengths),
        tokens_per_micro_batch=batch.tokens_per_micro_batch,
        chunk_tokens=batch.logits_chunk_tokens,
        problems_per_update=batch.problems_per_update,
        completions_per_problem=batch.completions_per_problem,
        max_prompt_tokens=rollouts.max_prompt_tokens,
        max_completion_tokens=rollouts.max_dialogue_tokens,
        num_slots=rollouts.num_slots,
        steps_per_call=rollouts.steps_per_call,
        sampler_prompt_tokens=rollouts.max_prompt_tokens + last_turn,
        sampler_completion_tokens=rollouts.max_completion_tokens,
        sampler_tensor=rollouts.tensor,
    )


def _config(source: ModelSource) -> ModelConfig:
    """Of a directory only `config.json` is read: a plan needs no weights."""
    settings: dict[str, Any] = {
        "compute_dtype": source.compute_dtype,
        "remat_policy": source.remat_policy,
        "attention": source.attention,
    }
    if source.param_dtype != "published":
        settings["param_dtype"] = source.param_dtype
    file = Path(source.path).expanduser() / "config.json"
    if not file.is_file():
        return load_config(source.path).replace(**settings)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    settings.setdefault("param_dtype", content.get("torch_dtype") or "float32")
    return parse_config(content, **settings)
