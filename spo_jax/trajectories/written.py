"""Written solutions, right and wrong, as offline trajectories.

A program becomes the answer a model would have given: the prompt of its problem, then the tokens
of the answer's text and the end-of-turn token, all the policy's. What it is worth a judge decides;
a data set's own word is taken only where the caller says that it was judged before.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from spo_jax.errors import UserError
from spo_jax.trajectories.schema import prompt_hash
from spo_jax.types import Judgement, Problem, Solution, Trajectory, Turn, Verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerFormat:
    """How an answer is turned into tokens.

    Attributes:
      prompt_tokens: of a problem, up to where the completion begins.
      completion_text: what a model would write for a program, without the end token.
      encode: text to token ids, nothing added.
      end_token: id of the end-of-turn token.
      tokenizer_hash: of the tokenizer behind `encode`.
    """

    prompt_tokens: Callable[[Problem], Sequence[int]]
    completion_text: Callable[[Problem, str], str]
    encode: Callable[[str], Sequence[int]]
    end_token: int
    tokenizer_hash: str


@dataclasses.dataclass(frozen=True)
class WrittenSolutions:
    """Trajectories in the order of the problems, and reasons to number of programs left out.

    Reasons: 'language', 'too_long', 'duplicate' (the same tokens twice), 'judge_failed' (IE).
    `disagreements` counts programs whose verdict is not what the data set says.
    """

    trajectories: tuple[Trajectory, ...]
    skipped: Mapping[str, int]
    disagreements: int


JudgeMany = Callable[[Sequence[tuple[Problem, str]]], Sequence[Judgement]]


def written_trajectories(
    problems: Iterable[Problem],
    answer_format: AnswerFormat,
    *,
    reward: Callable[[Judgement], float | None],
    judge_many: JudgeMany | None = None,
    trust_labels: bool = False,
    languages: Sequence[str] = ("python3",),
    max_completion_tokens: int | None = None,
) -> WrittenSolutions:
    """Makes one trajectory of every written program, one group per problem.

    Ids are deterministic in the problem and the tokens, so writing them again changes nothing.

    Args:
      problems: with solutions and incorrect solutions.
      answer_format: prompt and answer to tokens.
      reward: what a judgement is worth; None leaves the trajectory without a reward.
      judge_many: judges all programs; the verdict it gives is stored, whatever the label says.
      trust_labels: instead of judging, believe the data set. Only for sets verified before.
      languages: programs in others are left out.
      max_completion_tokens: longer answers are left out; None is no limit.

    Raises:
      UserError: neither or both of `judge_many` and `trust_labels`, or a prompt without tokens.
    """
    if trust_labels == (judge_many is not None):
        raise UserError("written solutions need either judge_many or trust_labels=True")
    skipped: Counter[str] = Counter()
    programs = []
    for problem in problems:
        kept = _of_problem(problem, answer_format, languages, max_completion_tokens, skipped)
        programs.extend(kept)
    if judge_many is None:
        judgements: Sequence[Judgement] = [_believed(program) for program in programs]
    else:
        judgements = judge_many([(program.problem, program.code) for program in programs])
    made, disagreements = [], 0
    for program, judgement in zip(programs, judgements, strict=True):
        if judgement.verdict is Verdict.IE:
            skipped["judge_failed"] += 1
            continue
        disagreements += (judgement.verdict is Verdict.AC) != program.labelled_right
        judged_by = "label" if judge_many is None else "judge"
        made.append(_trajectory(program, answer_format, judgement, reward(judgement), judged_by))
    return WrittenSolutions(tuple(made), dict(skipped), disagreements)


@dataclasses.dataclass(frozen=True)
class _Program:
    problem: Problem
    code: str
    labelled_right: bool
    number: int
    prompt: np.ndarray
    completion: np.ndarray
    text: str


def _of_problem(
    problem: Problem,
    answer_format: AnswerFormat,
    languages: Sequence[str],
    max_completion_tokens: int | None,
    skipped: Counter[str],
) -> list[_Program]:
    prompt = np.asarray(answer_format.prompt_tokens(problem), np.int32)
    if not len(prompt):
        raise UserError(f"problem '{problem.id}': the prompt has no tokens")
    programs: dict[bytes, _Program] = {}
    for right, number, solution in _solutions(problem):
        if solution.language not in languages:
            skipped["language"] += 1
            continue
        text = answer_format.completion_text(problem, solution.code)
        tokens = np.asarray([*answer_format.encode(text), answer_format.end_token], np.int32)
        if max_completion_tokens is not None and len(tokens) > max_completion_tokens:
            skipped["too_long"] += 1
        elif tokens.tobytes() in programs:
            skipped["duplicate"] += 1
        else:
            programs[tokens.tobytes()] = _Program(
                problem, solution.code, right, number, prompt, tokens, text
            )
    return list(programs.values())


def _solutions(problem: Problem) -> Iterable[tuple[bool, int, Solution]]:
    for number, solution in enumerate(problem.solutions):
        yield True, number, solution
    for number, solution in enumerate(problem.incorrect_solutions):
        yield False, number, solution


def _believed(program: _Program) -> Judgement:
    return Judgement(
        verdict=Verdict.AC if program.labelled_right else Verdict.WA,
        num_tests=len(program.problem.tests),
        backend="label",
    )


def _trajectory(
    program: _Program,
    answer_format: AnswerFormat,
    judgement: Judgement,
    reward: float | None,
    judged_by: str,
) -> Trajectory:
    group = f"written:{program.problem.id}:{prompt_hash(program.prompt)}"
    name = hashlib.blake2b(answer_format.tokenizer_hash.encode(), digest_size=8)
    name.update(program.completion.tobytes())
    num_tokens = len(program.completion)
    return Trajectory(
        trajectory_id=f"{group}:{name.hexdigest()}",
        group_id=group,
        problem_id=program.problem.id,
        source="written",
        turns=(Turn("policy", 0, num_tokens),),
        prompt_tokens=program.prompt,
        completion_tokens=program.completion,
        completion_mask=np.ones(num_tokens, bool),
        finish_reason="stop",
        reward=None if reward is None else float(reward),
        verdict=judgement.verdict,
        tokenizer_hash=answer_format.tokenizer_hash,
        completion_text=program.text,
        metadata={
            "label": "solution" if program.labelled_right else "incorrect_solution",
            "number": str(program.number),
            "verdict_from": judged_by,
        },
    )
