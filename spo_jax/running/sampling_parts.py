"""What sampling and judging take: all that an evaluation needs, and the half of a run."""

import contextlib
import dataclasses
import sys
from collections.abc import Sequence

from spo_jax.acting.rollouts import Prompter, RolloutWorker
from spo_jax.errors import UserError
from spo_jax.judging import CachedJudge, Judge, SubmitsAnswers, Verifier, VerifierJudge
from spo_jax.models import Params, Pretrained, Transformer, load_pretrained
from spo_jax.problems.prompts import Template
from spo_jax.running.settings import JudgeSettings, ModelSource, RolloutSettings
from spo_jax.sampling import Sampler
from spo_jax.tokenizers import Tokenizer, load_tokenizer
from spo_jax.types import Problem


@dataclasses.dataclass(frozen=True, eq=False)
class SamplingParts:
    """What sampling and judging take; evaluation needs no more.

    Attributes:
      model, tokenizer: of the policy. params: as loaded.
      judge: asks for every verdict anew. worker: samples and judges. prompter: prompts and answers.
    """

    model: Transformer
    params: Params
    tokenizer: Tokenizer
    judge: Judge | VerifierJudge
    worker: RolloutWorker
    prompter: Prompter


def build_sampling(
    stack: contextlib.ExitStack,
    *,
    policy: ModelSource,
    prompt: Template,
    rollouts: RolloutSettings,
    judge: JudgeSettings | Verifier,
    verdicts_path: str,
) -> SamplingParts:
    """Starts the judge, then loads the policy. The judge ends with `stack`."""
    # The judge comes first: its refusal on a machine without a sandbox should not take a minute,
    # and its processes start before JAX has threads.
    asked, remembering = _start_judge(stack, judge, verdicts_path)
    tokenizer = load_tokenizer(policy.path)
    prompter = Prompter(tokenizer, prompt, rollouts.stop_at)
    pretrained = load_source(policy)
    model = Transformer(pretrained.config)
    sampler = Sampler(
        model,
        eos_ids=prompter.end_ids,
        num_slots=rollouts.num_slots,
        max_prompt_tokens=rollouts.max_prompt_tokens,
        max_completion_tokens=rollouts.max_completion_tokens,
        steps_per_call=rollouts.steps_per_call,
    )
    worker = RolloutWorker(sampler, remembering, prompter)
    return SamplingParts(model, pretrained.params, tokenizer, asked, worker, prompter)


def _start_judge(
    stack: contextlib.ExitStack, judge: JudgeSettings | Verifier, verdicts_path: str
) -> tuple[Judge | VerifierJudge, SubmitsAnswers]:
    """The judge, and the same with a memory. A verifier says the same twice and needs none."""
    if not isinstance(judge, JudgeSettings):
        verifier = VerifierJudge(judge)
        return verifier, verifier
    pool = stack.enter_context(
        Judge(
            num_workers=judge.num_workers or None,
            backend=judge.backend,
            python=judge.python,
            allow_unsandboxed=judge.allow_unsandboxed,
        )
    )
    return pool, stack.enter_context(contextlib.closing(CachedJudge(pool, verdicts_path)))


def load_source(source: ModelSource) -> Pretrained:
    """Reads parameters as a run wants them."""
    return load_pretrained(
        source.path,
        param_dtype=source.param_dtype,
        compute_dtype=source.compute_dtype,
        remat_policy=source.remat_policy,
    )


def promptable(
    problems: Sequence[Problem], sampling: SamplingParts, max_prompt_tokens: int
) -> list[Problem]:
    """Problems whose prompt is short enough; says how many are not."""
    kept = [
        problem
        for problem in problems
        if len(sampling.prompter.prompt_tokens(problem)) <= max_prompt_tokens
    ]
    if len(kept) < len(problems):
        print(
            f"{len(problems) - len(kept)} of {len(problems)} problems are left out: their prompts "
            f"exceed max_prompt_tokens={max_prompt_tokens}",
            file=sys.stderr,
        )
    if not kept:
        raise UserError(
            f"no problem of {len(problems)} has a prompt within "
            f"max_prompt_tokens={max_prompt_tokens}"
        )
    return kept
