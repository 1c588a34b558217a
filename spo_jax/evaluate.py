"""Evaluation of one checkpoint on one problem set, outside any run."""

import contextlib
from collections.abc import Sequence
from typing import Any

import jax

from spo_jax.acting.evaluator import EvaluationSettings, evaluate
from spo_jax.judging import Verifier
from spo_jax.placement import make_own_mesh
from spo_jax.problems.prompts import PromptTemplate, Template
from spo_jax.reporting.progress import Progress
from spo_jax.running.sampling_parts import build_sampling, load_split, promptable
from spo_jax.running.settings import JudgeSettings, ModelSource, ProblemSource, RolloutSettings


def evaluate_policy(
    output: str,
    *,
    policy: ModelSource = ModelSource(),
    problems: ProblemSource = ProblemSource(),
    prompt: Template = PromptTemplate(),
    rollouts: RolloutSettings = RolloutSettings(),
    evaluation: EvaluationSettings = EvaluationSettings(),
    judge: JudgeSettings | Verifier = JudgeSettings(),
    devices: Sequence[jax.Device] | None = None,
) -> dict[str, Any]:
    """Samples, judges and counts; `problems.eval_split` is what is evaluated.

    Args:
      output: JSON lines file of all samples. If it is there already it is read, not made again.
      policy: the checkpoint.
      problems, prompt, rollouts, evaluation, judge: as in `train`. Layers are split over
        `rollouts.tensor` devices, slots over the others.
      devices: of this process that sample; by default all.

    Returns:
      {"num_problems", "samples_per_problem", "metrics": {"eval/pass@1": ...}}.

    Raises:
      UserError: settings that do not fit together, before any long work.
    """
    mesh = make_own_mesh(devices, tensor=rollouts.tensor)
    with contextlib.ExitStack() as stack:
        sampling = build_sampling(
            stack,
            policy=policy,
            prompt=prompt,
            rollouts=rollouts,
            judge=judge,
            verdicts_path=f"{output}.verdicts",
            mesh=mesh,
            sampler_mesh=mesh,
        )
        asked = promptable(
            load_split(problems, problems.eval_split),
            sampling,
            rollouts.max_prompt_tokens,
        )
        chosen = evaluation.choose(asked)
        progress = Progress("evaluation", len(chosen) * evaluation.num_samples, "samples")
        result = evaluate(
            sampling.worker, sampling.params, chosen, evaluation, output, progress=progress.add
        )
    return {
        "num_problems": len(result.scores),
        "samples_per_problem": evaluation.num_samples,
        "metrics": result.metrics(),
    }
