"""Host records that pass between the layers. Nothing here imports jax.

Arrays in records are numpy arrays of rank one; T is the number of completion tokens.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Literal

import numpy as np


class Verdict(enum.StrEnum):
    """What a judge says of a program, in the usual abbreviations."""

    AC = "AC"  # accepted
    WA = "WA"  # wrong answer
    RE = "RE"  # runtime error
    TLE = "TLE"  # time limit exceeded
    MLE = "MLE"  # memory limit exceeded
    OLE = "OLE"  # output limit exceeded
    SV = "SV"  # security violation
    CE = "CE"  # compile error, or no program in the answer
    IE = "IE"  # the judge's own failure: never becomes a reward


@dataclasses.dataclass(frozen=True, slots=True)
class TestCase:
    """One test. Call-style problems: `input` is a JSON list of arguments, `output` a JSON value."""

    __test__ = False  # not a test of pytest's

    input: str
    output: str


@dataclasses.dataclass(frozen=True, slots=True)
class Solution:
    """A written program: `language` is 'python3', 'python2', 'cpp', 'java' or 'unknown'.

    Or, with language 'text', an answer that is no program: `code` is its text.
    """

    language: str
    code: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A programming problem; the fields follow DeepMind CodeContests, plus TACO's `fn_name`.

    Attributes:
      id: unique and stable, '<set>/<name>'.
      name: title.
      description: the statement shown to the model.
      public_tests: tests the statement may show. private_tests, generated_tests: hidden ones.
      solutions: correct programs. incorrect_solutions: wrong ones.
      time_limit_secs: CPU seconds per test, or None for the judge's default.
      memory_limit_bytes: per test, or None for the judge's default.
      fn_name: the function to call (call style), or None (standard input and output).
      source: where it comes from, for example 'starter' or 'codeforces'.
      difficulty: the set's own scale, larger is harder; 0 is unknown.
      tags: free words; the starter set puts the template's name first.
      checker: name of the special judge that decides about outputs (`judging.checkers`), or None:
        they are compared with the expected ones.
      prologue, epilogue: source put before and after every submitted program, for sets whose
        tests are code. With an epilogue, `fn_name` is a function of it that takes a test's source
        and what to return after it. They share the program's process, so a program can cheat.
    """

    id: str
    name: str
    description: str
    public_tests: tuple[TestCase, ...] = ()
    private_tests: tuple[TestCase, ...] = ()
    generated_tests: tuple[TestCase, ...] = ()
    solutions: tuple[Solution, ...] = ()
    incorrect_solutions: tuple[Solution, ...] = ()
    time_limit_secs: float | None = None
    memory_limit_bytes: int | None = None
    fn_name: str | None = None
    source: str = "unknown"
    difficulty: int = 0
    tags: tuple[str, ...] = ()
    checker: str | None = None
    prologue: str = ""
    epilogue: str = ""

    @property
    def tests(self) -> tuple[TestCase, ...]:
        """All tests in judging order: public, private, generated."""
        return self.public_tests + self.private_tests + self.generated_tests


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One test of one submission: time used, largest resident memory, and a line for a person.

    `output` is the beginning of a wrong output, else empty.
    """

    __test__ = False  # not a test of pytest's

    verdict: Verdict
    cpu_secs: float = 0.0
    wall_secs: float = 0.0
    peak_bytes: int = 0
    message: str = ""
    output: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One submission. `tests` ends at the first failing test when the judge was told to stop there.

    Attributes:
      verdict: AC, or the verdict of the first failing test, or CE or IE of the whole submission.
      tests: results in the order of `Problem.tests`.
      num_tests: how many tests the problem has.
      backend: the sandbox that ran it, for example 'zygote'.
      layers: protections that were active.
      message: one line for a person.
      score: of a verifier that knows more than right and wrong, 0 to 1; else None.
    """

    verdict: Verdict
    tests: tuple[TestResult, ...] = ()
    num_tests: int = 0
    backend: str = ""
    layers: tuple[str, ...] = ()
    message: str = ""
    score: float | None = None

    @property
    def num_passed(self) -> int:
        return sum(test.verdict is Verdict.AC for test in self.tests)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How tokens were drawn: top_p 1.0 and top_k 0 mean no truncation, temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_completion_tokens: int = 256


FinishReason = Literal["stop", "length"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Completion:
    """What a sampler returns for one sample.

    Attributes:
      tokens: int32 [T], the end token included when `finish_reason` is 'stop'.
      behavior_logprobs: float32 [T], log-probabilities of the distribution really sampled from
        (after temperature, top-p and top-k). Not the policy's own unless all three are off. None
        where a foreign sampler does not tell them.
      finish_reason: 'stop' (an end token was drawn) or 'length'.
      seed: of this sample; the same seed, prompt, weights and settings give the same tokens.
    """

    tokens: np.ndarray
    behavior_logprobs: np.ndarray | None
    finish_reason: FinishReason
    seed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """A span [start, end) of the completion's tokens, by 'policy' or by 'environment'."""

    role: Literal["policy", "environment"]
    start: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trajectory:
    """One scored sequence, schema version 1 of the store.

    Attributes:
      trajectory_id: deterministic in (run, policy version, problem, group, sample).
      group_id: completions of one prompt made together.
      problem_id: the problem answered.
      source: 'online', 'reference', 'written', 'run:<name>' or 'import:<tool>'.
      policy_version: updates behind the policy that sampled it, or None when not sampled by us.
      seed: of the sample, or None.
      turns: spans covering the completion, in order.
      prompt_tokens: int32 [P], or None where there is no tokenization yet.
      completion_tokens: int32 [T], or None likewise.
      completion_mask: bool [T], True on tokens the policy chose, the end token included.
      finish_reason: 'stop' or 'length'.
      behavior_logprobs: float32 [T], or None (written solutions have none).
      reward: what the verdict is worth, or None when it must not be learned from (IE).
      verdict: of the judge, or None when the reward came from elsewhere.
      sampler: settings that drew it, or None.
      tokenizer_hash: `Tokenizer.hash` of the tokens, or None where there is no tokenization yet.
      prompt_text, completion_text: text, where known.
      metadata: small free strings, for example the template or the import's file and line.
    """

    trajectory_id: str
    group_id: str
    problem_id: str
    source: str
    policy_version: int | None = None
    seed: int | None = None
    turns: tuple[Turn, ...] = ()
    prompt_tokens: np.ndarray | None = None
    completion_tokens: np.ndarray | None = None
    completion_mask: np.ndarray | None = None
    finish_reason: FinishReason = "stop"
    behavior_logprobs: np.ndarray | None = None
    reward: float | None = None
    verdict: Verdict | None = None
    sampler: SamplerSettings | None = None
    tokenizer_hash: str | None = None
    prompt_text: str | None = None
    completion_text: str | None = None
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


def source_weight(source: str, weights: Mapping[str, float]) -> float:
    """The weight given to a source ('run:a') or else to its first word ('run'); 1 by default."""
    return weights.get(source, weights.get(source.partition(":")[0], 1.0))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceLogprobs:
    """Annotation of a trajectory under one reference: float32 [T] aligned with its completion."""

    trajectory_id: str
    reference_id: str
    ref_logprobs: np.ndarray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InitialValue:
    """Annotation of a problem under one reference: an estimate of Q_0, in units of reward.

    Attributes:
      problem_id, reference_id: what it belongs to.
      beta: the temperature it was estimated for; another beta needs another estimate.
      value: the estimate.
      standard_error: of the estimate, in units of reward.
      num_samples: reference samples behind it.
      estimator: its name, for example 'log_mean_exp' or 'pass_rate'.
    """

    problem_id: str
    reference_id: str
    beta: float
    value: float
    standard_error: float
    num_samples: int
    estimator: str
