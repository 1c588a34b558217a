"""Log-probabilities, token by token, of a few evaluated answers: what a report colours.

Letters: R problems, n answers to each, T completion tokens.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from spo_jax.acting.annotator import Reference
from spo_jax.acting.rollouts import Prompter
from spo_jax.judging import RewardMap
from spo_jax.models import Transformer
from spo_jax.packing import PackedRows, pack_prompt_groups, shared_row_length
from spo_jax.scoring import score_rows
from spo_jax.tokenizers import Tokenizer
from spo_jax.types import Judgement, Problem, TestResult, Verdict

_LENGTH_MULTIPLE = 64
_REPLACEMENT = "\ufffd"  # what bytes that are not yet a character decode to

Sample = Mapping[str, Any]


def token_values(
    model: Transformer,
    params: Any,
    reference: Reference,
    samples: Sequence[Sample],
    problems: Sequence[Problem],
    prompter: Prompter,
    *,
    beta: float,
    rewards: RewardMap,
    num_problems: int = 2,
    num_answers: int = 8,
) -> dict[str, Any]:
    """Scores answers to a few problems under the policy and the reference.

    Problems whose answers are right and wrong in the most even shares come first. Up to
    `num_answers` to each are scored in one row; Q_0 of a problem is their mean of reward - beta S
    (S: sum of log-ratios), which is what the objective's group baseline takes. One right and one
    wrong answer are returned, as far as there are.

    Args:
      model: of both.
      params: of the policy.
      reference: the frozen policy.
      samples: of an evaluation, as `spo_jax.evaluation.read_samples` gives them. An answer without
        'tokens' is tokenized from its text.
      problems: those that were evaluated.
      prompter: the prompt's form.
      beta: of the objective, in units of reward per nat.
      rewards: what a verdict is worth. Answers without a reward are passed over.
      num_problems, num_answers: bounds on the work.

    Returns:
      {"beta", "reference_id", "samples": [{"problem_id", "verdict", "reward", "initial_value",
      "tokens", "logprobs", "ref_logprobs"}]}; the last three are lists of one entry a token, in
      text and nats. Plain JSON.
    """
    by_id = {problem.id: problem for problem in problems}
    groups = _chosen(samples, by_id, rewards, num_problems, num_answers)
    records = []
    if groups:
        tokens = [[_tokens(answer, prompter.tokenizer) for answer in group] for group in groups]
        prompts = [prompter.prompt_tokens(by_id[group[0]["problem_id"]]) for group in groups]
        masks = [[_mask(answer, prompter.tokenizer) for answer in group] for group in groups]
        rows = _packed(prompts, tokens, masks, prompter.tokenizer.pad_id)
        policy_RnT, reference_RnT = _scores(model, (params, reference.params), rows)
        for r, group in enumerate(groups):
            records += _records(
                group,
                tokens[r],
                policy_RnT[r],
                reference_RnT[r],
                [_reward(answer, rewards) for answer in group],
                beta,
                prompter.tokenizer,
            )
    return {"beta": beta, "reference_id": reference.reference_id, "samples": records}


def _scores(
    model: Transformer, several_params: Sequence[Any], rows: PackedRows
) -> list[np.ndarray]:
    """Log-probabilities [R, n, T] under each of several parameters."""
    sharding = jax.tree.leaves(several_params[0])[0].sharding
    everywhere = None
    if isinstance(sharding, NamedSharding):  # of several processes, each needs the result
        everywhere = NamedSharding(sharding.mesh, PartitionSpec())
    score = jax.jit(
        lambda params: score_rows(model, params, rows).logprobs_BT, out_shardings=everywhere
    )
    shape = rows.mask_RnT.shape
    return [np.asarray(score(params), np.float64).reshape(shape) for params in several_params]


def _records(
    group: Sequence[Sample],
    tokens: Sequence[Sequence[int]],
    policy_nT: np.ndarray,
    reference_nT: np.ndarray,
    worth: Sequence[float | None],
    beta: float,
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """One right and one wrong answer to a problem. Rows beyond the group are 0."""
    sums = (policy_nT - reference_nT).sum(axis=1)[: len(group)]
    initial = float(np.mean(np.array(worth, float) - beta * sums))
    return [
        {
            "problem_id": group[i]["problem_id"],
            "verdict": group[i]["verdict"],
            "reward": worth[i],
            "initial_value": initial,
            "tokens": list(_texts(tokens[i], tokenizer)),
            "logprobs": policy_nT[i, : len(tokens[i])].round(6).tolist(),
            "ref_logprobs": reference_nT[i, : len(tokens[i])].round(6).tolist(),
        }
        for i in _one_of_each(group)
    ]


def _chosen(
    samples: Sequence[Sample],
    by_id: Mapping[str, Problem],
    rewards: RewardMap,
    num_problems: int,
    num_answers: int,
) -> list[list[Sample]]:
    """Answers by problem; problems of the most even shares of right and wrong come first."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample["problem_id"] in by_id and _reward(sample, rewards) is not None:
            groups.setdefault(sample["problem_id"], []).append(sample)

    def unevenness(group: Sequence[Sample]) -> float:
        return abs(sum(map(_is_right, group)) / len(group) - 0.5)

    ranked = sorted(groups.values(), key=unevenness)[:num_problems]
    return [_alternating(group)[:num_answers] for group in ranked]


def _alternating(group: Sequence[Sample]) -> list[Sample]:
    """Right and wrong answers in turn, so that the first few hold both."""
    right = [answer for answer in group if _is_right(answer)]
    wrong = [answer for answer in group if not _is_right(answer)]
    pairs = itertools.zip_longest(right, wrong)
    return [answer for pair in pairs for answer in pair if answer is not None]


def _one_of_each(group: Sequence[Sample]) -> list[int]:
    right = [i for i, answer in enumerate(group) if _is_right(answer)]
    wrong = [i for i, answer in enumerate(group) if not _is_right(answer)]
    return right[:1] + wrong[:1]


def _is_right(answer: Sample) -> bool:
    return answer["verdict"] == Verdict.AC


def _reward(answer: Sample, rewards: RewardMap) -> float | None:
    passed = (TestResult(verdict=Verdict.AC),) * answer["tests_passed"]
    return rewards.reward(
        Judgement(verdict=Verdict(answer["verdict"]), tests=passed, num_tests=answer["num_tests"])
    )


def _tokens(answer: Sample, tokenizer: Tokenizer) -> list[int]:
    if "tokens" in answer:
        return list(answer["tokens"])
    end = [tokenizer.eos_ids[0]] if answer["finish_reason"] == "stop" else []
    return tokenizer.encode(answer["text"]) + end


def _mask(answer: Sample, tokenizer: Tokenizer) -> np.ndarray:
    """False on the environment's tokens of an answer in several turns."""
    mask = np.ones(len(_tokens(answer, tokenizer)), bool)
    for role, start, end in answer.get("turns", ()):
        mask[start:end] = role == "policy"
    return mask


def _packed(
    prompts: Sequence[Sequence[int]],
    tokens: Sequence[Sequence[Sequence[int]]],
    masks: Sequence[Sequence[np.ndarray]],
    pad_id: int,
) -> PackedRows:
    """One prompt with its answers a row, in lengths rounded up."""
    longest = max(len(answer) for group in tokens for answer in group)
    used = max(
        shared_row_length(prompt, group) for prompt, group in zip(prompts, tokens, strict=True)
    )
    return pack_prompt_groups(
        prompts,
        tokens,
        num_rows=len(prompts),
        row_length=_rounded(used),
        completions_per_row=max(map(len, tokens)),
        max_completion_tokens=_rounded(longest),
        pad_id=pad_id,
        completion_masks=masks,
    )


def _rounded(length: int) -> int:
    return -(-max(1, length) // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE


def _texts(tokens: Sequence[int], tokenizer: Tokenizer) -> Iterator[str]:
    """Each token's share of the text, special tokens included.

    A token is decoded with the one before it: alone, the tokens of some tokenizers lose their
    leading space. Of several tokens that make up one character, the last one has it.
    """
    before = start = 0
    for end in range(1, len(tokens) + 1):
        known = tokenizer.decode(tokens[before:start], skip_special_tokens=False)
        text = tokenizer.decode(tokens[before:end], skip_special_tokens=False)
        if text.endswith(_REPLACEMENT) and end < len(tokens):
            yield ""
            continue
        yield text[len(known) :]
        before, start = start, end
