"""Evaluation of one checkpoint on one problem set, outside any run."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from spo_jax.acting.evaluator import EvaluationSettings, read_evaluation
from spo_jax.judging import Verifier
from spo_jax.placement import make_own_mesh
from spo_jax.problems.prompts import PromptTemplate, Template
from spo_jax.running.hosts import Hosts
from spo_jax.running.sampling_parts import build_sampling, load_split, promptable
from spo_jax.running.settings import JudgeSettings, ModelSource, ProblemSource, RolloutSettings
from spo_jax.running.stopping import StopRequest
from spo_jax.running.together import Together


def evaluate_policy(
    output: str,
    hosts: Hosts = Hosts(),
    *,
    policy: ModelSource = ModelSource(),
    problems: ProblemSource = ProblemSource(),
    prompt: Template = PromptTemplate(),
    rollouts: RolloutSettings = RolloutSettings(),
    evaluation: EvaluationSettings = EvaluationSettings(),
    judge: JudgeSettings | Verifier = JudgeSettings(),
    devices: Sequence[jax.Device] | None = None,
    stop: StopRequest | None = None,
) -> dict[str, Any]:
    """Samples, judges and counts; `problems.eval_split` is what is evaluated.

    Args:
      output: JSON lines file of all samples. If it is there already it is read, not made again.
      hosts: processes that share the problems; all must see the file.
      policy: the checkpoint.
      problems, prompt, rollouts, evaluation, judge: as in `train`. Layers are split over
        `rollouts.tensor` devices, slots over the others.
      devices: of this process that sample; by default all.
      stop: asked between answers; by default never.

    Returns:
      {"num_problems", "samples_per_problem", "metrics": {"eval/pass@1": ...}}.

    Raises:
      Stopped: a stop was asked for on some process; nothing is kept.
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
            verdicts_path=f"{output}.verdicts" + (f"-{hosts.index}" if hosts.index else ""),
            mesh=mesh,
            sampler_mesh=mesh,
        )
        asked = promptable(
            load_split(problems, problems.eval_split),
            sampling,
            rollouts.max_prompt_tokens,
        )
        chosen, path = evaluation.choose(asked), Path(output)
        settings = [output, policy, prompt, rollouts, evaluation, judge]
        asks = [str(each) for each in settings] + [problem.id for problem in chosen]
        hosts.check_same("evaluation", asks)
        hosts.check_shared(path.parent)
        if not hosts.broadcast("evaluated", hosts.is_main and path.exists()):
            together = Together(hosts, stop or StopRequest())
            together.sample_evaluation(sampling.worker, sampling.params, chosen, evaluation, path)
        result = read_evaluation(path, evaluation.ks)
    return {
        "num_problems": len(result.scores),
        "samples_per_problem": evaluation.num_samples,
        "metrics": result.metrics(),
    }
