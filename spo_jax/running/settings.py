"""What a run is made of: small frozen descriptions that a configuration binds.

Each names one thing a user decides. Heavy work (loading a model, compiling) starts elsewhere.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from spo_jax.errors import UserError
from spo_jax.judging.comparison import ComparisonMode, OutputComparison
from spo_jax.judging.wire import parse_address
from spo_jax.problems.contests.rules import ContestRules
from spo_jax.problems.feedback import FeedbackTemplate
from spo_jax.problems.prompt_answers import PromptColumns
from spo_jax.problems.reasoning_gym import ReasoningGymSet
from spo_jax.types import SamplerSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where parameters and tokenizer come from.

    Attributes:
      path: a directory in Hugging Face format, a .gguf file, a hub id, or 'smollm2'.
      param_dtype: of the learner's parameters.
      compute_dtype: of matrix products; 'bfloat16' on accelerators.
      remat_policy: what the backward pass recomputes; see `ModelConfig`.
      attention: the kernel: 'auto', 'plain', 'splash' or 'cudnn'; see docs/attention.md.
    """

    path: str = "smollm2"
    param_dtype: str = "float32"
    compute_dtype: str = "float32"
    remat_policy: str = "none"
    attention: str = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemSource:
    """Which seqio task gives the problems.

    Attributes:
      task: name of a registered task.
      train_split: the learner's. eval_split: held out, for evaluation only.
      max_problems: of the training split, spread evenly over it; 0 for all.
      trust_labels: believe which written solutions are right, instead of judging all of them at
        the start. For sets that were verified when they were built, such as the starter set.
      data_dir: for the tasks 'code_contests' and 'taco': the directory with the published files;
        '' downloads them. For 'mbpp', 'human_eval' and 'prompt_answer': the file or its directory.
      rules: how rows become problems: `ContestRules` of the former two, `PromptColumns` of
        'prompt_answer', `ReasoningGymSet` of 'reasoning_gym'; None for the defaults.
      exclude: file of problems to leave out, as `spo problems check` writes it; '' for none.
    """

    task: str = "spo_starter"
    train_split: str = "train"
    eval_split: str = "test"
    max_problems: int = 0
    trust_labels: bool = False
    data_dir: str = ""
    rules: ContestRules | PromptColumns | ReasoningGymSet | None = None
    exclude: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutSettings:
    """How training samples are drawn, and the sampler's shapes.

    Attributes:
      temperature, top_p, top_k: of training samples. SPO needs no particular ones.
      stop_at: texts of one token each that end an answer besides the end-of-turn token.
      max_prompt_tokens: problems with a longer prompt are left out, and counted.
      max_completion_tokens: of an answer, in training and evaluation; each turn has as many.
      max_turns: answers to one problem. Above 1, an answer that fails a public test is followed by
        feedback and another answer.
      max_feedback_tokens: between two answers, the chat's markup and the answer prefix included.
      feedback: the message after a wrong answer.
      num_slots: samples that are decoded together.
      steps_per_call: decoding steps between two looks at what is finished.
      tensor: devices of a host that each layer of the sampler is split over, for policies that do
        not fit one; the host's other devices hold copies.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop_at: tuple[str, ...] = ()
    max_prompt_tokens: int = 256
    max_completion_tokens: int = 256
    max_turns: int = 1
    max_feedback_tokens: int = 256
    feedback: FeedbackTemplate = dataclasses.field(default_factory=FeedbackTemplate)
    num_slots: int = 64
    steps_per_call: int = 16
    tensor: int = 1

    def __post_init__(self) -> None:
        for name in ("max_turns", "max_feedback_tokens", "tensor"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1")

    def tokens_before_turn(self, turn: int) -> int:
        """Most tokens after the first prompt and before the answer of a turn, counted from 0."""
        return turn * (self.max_completion_tokens + self.max_feedback_tokens)

    @property
    def max_dialogue_tokens(self) -> int:
        """Most tokens after the first prompt: answers of all turns and the feedback between."""
        return self.tokens_before_turn(self.max_turns - 1) + self.max_completion_tokens

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
      logits_chunk_tokens: completion tokens whose logits a device holds at once.
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
    """Devices along each axis of the mesh; see docs/sharding.md.

    Attributes:
      data: copies of the parameters; None takes all devices that the others leave.
      fsdp: devices the parameters of one copy are spread over.
      sequence: devices each row is split over, for long contexts.
      tensor: devices each layer is split over.
    """

    data: int | None = None
    fsdp: int = 1
    sequence: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """The judge's pool.

    Attributes:
      num_workers: programs judged at once; 0 for one per processor.
      backend: 'zygote' or 'exec', or None for the first that works here; see docs/judging.md.
      python: path of the interpreter that programs run under; None for the one running this.
      packages: installed packages that programs may import, for example ('numpy',).
      allow_unsandboxed: run model-written programs without protection where no sandbox works.
      comparison: of outputs: 'strict', or 'code_contests' or 'taco' to reproduce published numbers.
      address: of a judge elsewhere: 'unix:/path' or 'tcp:127.0.0.1:port' of a `spo judge serve`,
        which then decides all of the above; or 'http://...' of a SandboxFusion service, which
        takes num_workers (8 by default) requests at once. None judges in this process.
      token_file: holds the token of a `spo judge serve`.
    """

    num_workers: int = 0
    backend: str | None = None
    python: str | None = None
    packages: Sequence[str] = ()
    allow_unsandboxed: bool = False
    comparison: ComparisonMode = "strict"
    address: str | None = None
    token_file: str | None = None

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise UserError(f"num_workers={self.num_workers} must be at least 0")
        OutputComparison(mode=self.comparison)  # raises for an unknown mode
        if self.is_local or self.is_http:
            if self.token_file is not None:
                raise UserError("token_file needs an address 'unix:...' or 'tcp:...'")
        else:
            parse_address(str(self.address))  # raises for what is no address
        self._refuse_foreign_settings()

    @property
    def is_local(self) -> bool:
        """Whether this process judges."""
        return self.address is None

    @property
    def is_http(self) -> bool:
        """Whether a SandboxFusion service runs the programs."""
        return self.address is not None and self.address.startswith(("http://", "https://"))

    def _refuse_foreign_settings(self) -> None:
        if self.is_local:
            return
        foreign = ["backend", "python", "packages", "allow_unsandboxed"]
        if not self.is_http:
            foreign += ["num_workers", "comparison"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in foreign and value != field.default:
                raise UserError(
                    f"JudgeSettings.{field.name}={value!r} is for the judge at "
                    f"address='{self.address}' to decide: give it to that judge, not to the run"
                )
