"""What a run is made of: small frozen descriptions that a configuration binds.

Each names one thing a user decides. Heavy work (loading a model, compiling) starts elsewhere.
"""

import dataclasses
import math
from collections.abc import Mapping

from spo_jax.errors import UserError
from spo_jax.types import SamplerSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where parameters and tokenizer come from.

    Attributes:
      path: a directory in Hugging Face format, a .gguf file, a hub id, or 'smollm2'.
      param_dtype: of the learner's parameters.
      compute_dtype: of matrix products; 'bfloat16' on accelerators.
      remat_policy: what the backward pass recomputes; see `ModelConfig`.
    """

    path: str = "smollm2"
    param_dtype: str = "float32"
    compute_dtype: str = "float32"
    remat_policy: str = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemSource:
    """Which seqio task gives the problems.

    Attributes:
      task: name of a registered task.
      train_split: the learner's. eval_split: held out, for evaluation only.
      max_problems: of the training split, spread evenly over it; 0 for all.
      trust_labels: believe which written solutions are right, instead of judging all of them at
        the start. For sets that were verified when they were built, such as the starter set.
    """

    task: str = "spo_starter"
    train_split: str = "train"
    eval_split: str = "test"
    max_problems: int = 0
    trust_labels: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutSettings:
    """How training samples are drawn, and the sampler's shapes.

    Attributes:
      temperature, top_p, top_k: of training samples. SPO needs no particular ones.
      stop_at: texts of one token each that end an answer besides the end-of-turn token.
      max_prompt_tokens: problems with a longer prompt are left out, and counted.
      max_completion_tokens: of a sample, in training and evaluation.
      num_slots: samples that are decoded together.
      steps_per_call: decoding steps between two looks at what is finished.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop_at: tuple[str, ...] = ()
    max_prompt_tokens: int = 256
    max_completion_tokens: int = 256
    num_slots: int = 64
    steps_per_call: int = 16

    @property
    def sampler(self) -> SamplerSettings:
        return SamplerSettings(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_completion_tokens=self.max_completion_tokens,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """The size and shape of an update.

    Attributes:
      problems_per_update: groups of an update.
      completions_per_problem: size of a group; offline and online together.
      row_lengths: lengths a row (a prompt with its completions) is padded to. Few: each compiles
        the update once.
      tokens_per_micro_batch: row positions whose activations are held at once.
      logits_chunk_tokens: completion tokens whose logits are held at once.
      loss_weights: of a sequence's loss, by source ('run:a') or its first word ('written'); 1
        where not given. How often a source is drawn is `ReplayConfig.source_weights`.
      num_passes: optimizer steps on each batch; above 1 is for clipped objectives such as PPO.
    """

    problems_per_update: int = 8
    completions_per_problem: int = 8
    row_lengths: tuple[int, ...] = (256, 512, 1024)
    tokens_per_micro_batch: int = 2048
    logits_chunk_tokens: int = 1024
    loss_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    num_passes: int = 1

    def __post_init__(self) -> None:
        if self.num_passes < 1:
            raise UserError(f"num_passes={self.num_passes} must be at least 1")
        for source, weight in self.loss_weights.items():
            if not (math.isfinite(weight) and weight > 0):
                raise UserError(
                    f"loss weight {weight} of source '{source}' must be finite and above 0; a "
                    "source is left out by ReplayConfig.source_weights"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshShape:
    """Devices along each axis of the mesh; `data` None takes all that the others leave."""

    data: int | None = None
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """The judge's pool.

    Attributes:
      num_workers: programs judged at once; 0 for one per processor.
      backend: 'zygote' or 'exec', or None for the first that works here; see docs/judging.md.
      python: path of the interpreter that programs run under; None for the one running this.
      allow_unsandboxed: run model-written programs without protection where no sandbox works.
    """

    num_workers: int = 0
    backend: str | None = None
    python: str | None = None
    allow_unsandboxed: bool = False

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise UserError(f"num_workers={self.num_workers} must be at least 0")
