"""Dumps of other trainers into a store, with counts of what was left out and why."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spo_jax.acting.prompt_matching import PromptMatcher
from spo_jax.acting.rollouts import NO_PROGRAM
from spo_jax.errors import UserError
from spo_jax.judging import ProgramJudge, RewardMap, VerifierJudge
from spo_jax.problems.prompts import PromptTemplate
from spo_jax.tokenizers import Tokenizer
from spo_jax.trajectories import (
    Importer,
    ImportSettings,
    ImportTokenizer,
    RowWriter,
    Skipped,
    TrajectoryStore,
    detect_format,
    read_dump,
)
from spo_jax.types import Judgement, Trajectory, Verdict

_JUDGED_TOGETHER = 256
_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
      num_rows: read, the skipped ones included. num_added: appended. num_known: were there.
      num_unmatched: of the usable rows, those whose prompt is of no known problem.
      skipped: reason to number of rows. examples: reason to the first few places.
      formats: format to number of files.
    """

    num_rows: int
    num_added: int
    num_known: int
    num_unmatched: int
    skipped: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]
    formats: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return dataclasses.asdict(self)


class Rejudge:
    """Judges imported answers anew: whatever reward was dumped, ours counts.

    Args:
      judge: of programs, or a verifier.
      matcher: whose problems have tests.
      rewards: what verdicts are worth.
    """

    def __init__(
        self, judge: ProgramJudge | VerifierJudge, matcher: PromptMatcher, rewards: RewardMap
    ) -> None:
        self._judge = judge
        self._matcher = matcher
        self._rewards = rewards
        asked = matcher.prompter.template if matcher.prompter is not None else None
        self._template = asked or PromptTemplate(opening="none")

    def __call__(self, items: Sequence[Trajectory]) -> list[Trajectory | Skipped]:
        """Verdict and reward of each; rows of unknown problems and failures are skipped."""
        done: list[Trajectory | Skipped] = []
        answers = []
        for item in items:
            problem = self._matcher.problems.get(item.problem_id)
            answer = self._template.answer(problem, item.completion_text or "") if problem else None
            answers.append((problem, answer))
        asked = [(problem, answer) for problem, answer in answers if problem and answer is not None]
        verdicts = iter(self._judge.judge_many(asked))
        for item, (problem, answer) in zip(items, answers, strict=True):
            place = item.metadata["place"]
            if problem is None:
                done.append(Skipped(place, "unknown_problem", "it cannot be judged"))
                continue
            judgement = next(verdicts) if answer is not None else NO_PROGRAM
            done.append(self._judged(item, judgement, place))
        return done

    def _judged(self, item: Trajectory, judgement: Judgement, place: str) -> Trajectory | Skipped:
        if judgement.verdict is Verdict.IE:
            return Skipped(place, "judge_failed", judgement.message)
        return dataclasses.replace(
            item, verdict=judgement.verdict, reward=self._rewards.reward(judgement)
        )


def import_tokenizer(tokenizer: Tokenizer) -> ImportTokenizer:
    """What an import asks of a tokenizer."""
    return ImportTokenizer(
        encode=tokenizer.encode,
        decode=tokenizer.decode,
        chat_prompt=tokenizer.chat_prompt,
        end_token=tokenizer.eos_ids[0],
        vocab_size=tokenizer.vocab_size,
        hash=tokenizer.hash,
    )


def import_dump(
    store: TrajectoryStore,
    files: Sequence[Path],
    settings: ImportSettings,
    *,
    dump_format: str | None = None,
    reward_columns: Sequence[str] = (),
    tokenizer: ImportTokenizer | None = None,
    matcher: PromptMatcher | None = None,
    rejudge: Rejudge | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Appends the rollouts of dumped files that the store does not hold yet.

    Args:
      store: receives them.
      files: in the order to be read; see `dump_files`.
      settings: source, rewards, limits.
      dump_format: of all files; by default each file's own is found out.
      reward_columns: see `read_dump`.
      tokenizer: without one, text is stored as text, which no draw takes.
      matcher: of prompts to problems.
      rejudge: judges anew instead of believing the dump.
      strict: stop at the first row that would be skipped.
      progress: called with (files done, rows read) now and then.

    Raises:
      UserError: an unknown format; with `strict`, the first unusable row.
    """
    writer, skipped, formats = RowWriter(store), Counter[str](), Counter[str]()
    examples: dict[str, list[str]] = {}
    num_rows = num_unmatched = 0
    # Found out first: a file of no known format should not be noticed after an hour.
    kinds = [dump_format or detect_format(file) for file in files]
    for done, (file, kind) in enumerate(zip(files, kinds, strict=True)):
        formats[kind] += 1
        importer = Importer(settings, tokenizer, matcher.find if matcher else None)
        rows = importer.trajectories(read_dump(file, kind, reward_columns))
        for item in _rejudged(rows, rejudge):
            num_rows += 1
            if progress is not None and num_rows % 1000 == 0:
                progress(done, num_rows)
            if isinstance(item, Skipped):
                if strict:
                    writer.flush()
                    raise UserError(f"{item.place}: {item.reason}: {item.detail}".rstrip(": "))
                skipped[item.reason] += 1
                places = examples.setdefault(item.reason, [])
                if len(places) < _EXAMPLES:
                    places.append(f"{item.place}: {item.detail:.200}".rstrip(": "))
                continue
            num_unmatched += matcher is None or item.problem_id not in matcher.problems
            writer.add(item)
    writer.flush()
    return ImportReport(
        num_rows,
        writer.num_added,
        writer.num_known,
        num_unmatched,
        dict(skipped.most_common()),
        examples,
        dict(formats),
    )


def _rejudged(
    rows: Iterator[Trajectory | Skipped], rejudge: Rejudge | None
) -> Iterator[Trajectory | Skipped]:
    if rejudge is None:
        yield from rows
        return
    waiting: list[Trajectory] = []
    for row in rows:
        if isinstance(row, Skipped):
            yield row
            continue
        waiting.append(row)
        if len(waiting) == _JUDGED_TOGETHER:
            yield from rejudge(waiting)
            waiting = []
    yield from rejudge(waiting)
