"""What sampling and judging take: all that an evaluation needs, and the half of a run."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from spo_jax.acting.engines import OpenAIEngine
from spo_jax.acting.rollouts import FeedbackLoop, Prompter, RolloutWorker
from spo_jax.errors import UserError
from spo_jax.judging import (
    CachedJudge,
    Judge,
    JudgeClient,
    OutputComparison,
    ProgramJudge,
    SandboxFusionJudge,
    SubmitsAnswers,
    Verifier,
    VerifierJudge,
)
from spo_jax.judging.wire import read_token
from spo_jax.models import Params, Pretrained, Transformer, load_pretrained
from spo_jax.problems.prompts import Template
from spo_jax.problems.tasks import load_task_problems
from spo_jax.running.settings import (
    EngineSettings,
    JudgeSettings,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.sampling import Sampler
from spo_jax.tokenizers import Tokenizer, load_tokenizer
from spo_jax.types import Problem


@dataclasses.dataclass(frozen=True, eq=False)
class SamplingParts:
    """What sampling and judging take; evaluation needs no more.

    Attributes:
      model, tokenizer: of the policy. params: as loaded.
      judge: asks for every verdict anew. remembering: the same with a memory.
      worker: samples with our own sampler, and judges. prompter: prompts and answers.
      engine_worker: samples with an engine outside this process; None where there is none.
    """

    model: Transformer
    params: Params
    tokenizer: Tokenizer
    judge: ProgramJudge | VerifierJudge
    remembering: SubmitsAnswers
    worker: RolloutWorker
    prompter: Prompter
    engine_worker: RolloutWorker | None = None

    @property
    def training_worker(self) -> RolloutWorker:
        """What draws training samples."""
        return self.engine_worker or self.worker


def build_sampling(
    stack: contextlib.ExitStack,
    *,
    policy: ModelSource,
    prompt: Template,
    rollouts: RolloutSettings,
    judge: JudgeSettings | Verifier,
    verdicts_path: str,
    other_verdicts: Sequence[str | os.PathLike[str]] = (),
    mesh: Mesh | None = None,
    sampler_mesh: Mesh | None = None,
    engine: EngineSettings | None = None,
) -> SamplingParts:
    """Starts the judge, then loads the policy. The judge ends with `stack`.

    The policy is loaded onto `mesh`, by default onto one device; the sampler runs on
    `sampler_mesh`, where the parameters it is given must lie, by default wherever they do.
    """
    if rollouts.max_turns > 1 and not isinstance(judge, JudgeSettings):
        raise UserError(
            f"max_turns={rollouts.max_turns} needs a judge of programs (JudgeSettings): a verifier "
            "has no public tests to show"
        )
    # The judge comes first: its refusal on a machine without a sandbox should not take a minute,
    # and its processes start before JAX has threads.
    asked, remembering = _start_judge(stack, judge, verdicts_path, other_verdicts)
    tokenizer = load_tokenizer(policy.path)
    prompter = Prompter(tokenizer, prompt, rollouts.stop_at)
    pretrained = load_source(policy, mesh)
    model = Transformer(pretrained.config)
    worker = make_worker(model, remembering, prompter, rollouts, sampler_mesh)
    engine_worker = None
    if engine is not None:
        connected = connect_engine(engine, model, prompter, rollouts)
        stack.callback(connected.close)
        engine_worker = RolloutWorker(connected, remembering, prompter, worker.loop)
    return SamplingParts(
        model,
        pretrained.params,
        tokenizer,
        asked,
        remembering,
        worker,
        prompter,
        engine_worker,
    )


def make_worker(
    model: Transformer,
    judge: SubmitsAnswers,
    prompter: Prompter,
    rollouts: RolloutSettings,
    mesh: Mesh | None = None,
) -> RolloutWorker:
    """Samples and judges, on a mesh of this host or on the default device."""
    limits = [
        rollouts.max_prompt_tokens + rollouts.tokens_before_turn(turn)
        for turn in range(rollouts.max_turns)
    ]
    sampler = Sampler(
        model,
        eos_ids=prompter.end_ids,
        num_slots=rollouts.num_slots,
        max_prompt_tokens=limits[-1],
        prompt_buckets=limits[:-1],
        max_completion_tokens=rollouts.max_completion_tokens,
        steps_per_call=rollouts.steps_per_call,
        mesh=mesh,
    )
    loop = FeedbackLoop(rollouts.max_turns, rollouts.max_feedback_tokens, rollouts.feedback)
    return RolloutWorker(sampler, judge, prompter, loop)


def connect_engine(
    settings: EngineSettings, model: Transformer, prompter: Prompter, rollouts: RolloutSettings
) -> OpenAIEngine:
    """Servers that take the place of our own sampler. Waits for the first to be there."""
    before_last = rollouts.tokens_before_turn(rollouts.max_turns - 1)
    return OpenAIEngine(
        own_servers(settings.base_urls, jax.process_index(), jax.process_count()),
        model=settings.model,
        end_ids=prompter.end_ids,
        vocab_size=model.config.vocab_size,
        max_prompt_tokens=rollouts.max_prompt_tokens + before_last,
        max_completion_tokens=rollouts.max_completion_tokens,
        reload=settings.reload,
        api_key=None if settings.api_key_file is None else _read_key(settings.api_key_file),
        max_concurrent=settings.max_concurrent,
        timeout_secs=settings.timeout_secs,
        num_tries=settings.num_tries,
        reload_timeout_secs=settings.reload_timeout_secs,
        patience_secs=settings.patience_secs,
        retry_secs=settings.retry_secs,
        logprobs=settings.logprobs,
        encode=prompter.tokenizer.encode if settings.retokenize else None,
    )


def own_servers(base_urls: Sequence[str], process: int, num_processes: int) -> list[str]:
    """The servers of one host of several: each has its own, which nobody else reloads."""
    if len(base_urls) < num_processes:
        raise UserError(
            f"EngineSettings.base_urls names {len(base_urls)} servers for {num_processes} "
            "processes: every process needs one of its own"
        )
    return list(base_urls[process::num_processes])


def _read_key(path: str) -> str:
    try:
        key = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read api_key_file '{path}': {error}") from error
    if not key or not key.isprintable():
        raise UserError(f"api_key_file '{path}' must hold one line with the key")
    return key


def _start_judge(
    stack: contextlib.ExitStack,
    judge: JudgeSettings | Verifier,
    verdicts_path: str,
    other_verdicts: Sequence[str | os.PathLike[str]],
) -> tuple[ProgramJudge | VerifierJudge, SubmitsAnswers]:
    """The judge, and the same with a memory. A verifier says the same twice and needs none."""
    if not isinstance(judge, JudgeSettings):
        verifier = VerifierJudge(judge)
        return verifier, verifier
    pool = start_pool(judge)
    stack.push(pool)
    cached = CachedJudge(pool, verdicts_path, also=other_verdicts)
    return pool, stack.enter_context(contextlib.closing(cached))


def start_pool(settings: JudgeSettings) -> ProgramJudge:
    """The judge that the settings describe: here, shared, or a service. A context manager."""
    comparison = OutputComparison(mode=settings.comparison)
    if settings.address is None:
        return Judge(
            num_workers=settings.num_workers or None,
            backend=settings.backend,
            python=settings.python,
            packages=settings.packages,
            allow_unsandboxed=settings.allow_unsandboxed,
            comparison=comparison,
        )
    if settings.is_http:
        num_workers = settings.num_workers or 8
        return SandboxFusionJudge(settings.address, num_workers=num_workers, comparison=comparison)
    token = None if settings.token_file is None else read_token(settings.token_file)
    return JudgeClient(settings.address, token=token)


def load_source(source: ModelSource, mesh: Mesh | None = None) -> Pretrained:
    """Reads parameters as a run wants them, leaf by leaf onto the mesh where there is one."""
    return load_pretrained(
        source.path,
        param_dtype=source.param_dtype,
        compute_dtype=source.compute_dtype,
        remat_policy=source.remat_policy,
        mesh=mesh,
        attention=source.attention,
    )


def load_split(source: ProblemSource, split: str) -> list[Problem]:
    """The problems of one split of a source."""
    return load_task_problems(
        source.task,
        split,
        data_dir=source.data_dir,
        rules=source.rules,
        exclude=source.exclude,
    )


def load_train_problems(
    source: ProblemSource, sampling: SamplingParts, rollouts: RolloutSettings
) -> list[Problem]:
    """The problems that are learned from, in the order every process of a run has them in."""
    problems = load_split(source, source.train_split)
    return _spread(promptable(problems, sampling, rollouts.max_prompt_tokens), source.max_problems)


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


def _spread(problems: Sequence[Problem], count: int) -> list[Problem]:
    """`count` problems spread evenly over the set; all of them for 0."""
    if not count:
        return list(problems)
    if count > len(problems):
        raise UserError(f"max_problems={count} exceeds the {len(problems)} problems there are")
    return [problems[i * len(problems) // count] for i in range(count)]
