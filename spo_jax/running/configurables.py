"""What the arguments of `train` may be: everything a configuration constructs by name."""

from collections.abc import Callable
from typing import Any

from spo_jax.acting.engines import HttpReload, SglangReload, ShellReload, VllmReload
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.acting.initial_values import InitialValueSettings
from spo_jax.judging import ExactMatch, MathVerify, ReasoningGymVerifier, RewardMap
from spo_jax.learning import AdamW, CheckpointSettings
from spo_jax.objectives import (
    GRPO,
    PPO,
    RLOO,
    AdvantageRegression,
    GeometricSchedule,
    LinearSchedule,
    Reinforce,
    SoftPolicyOptimization,
    Supervised,
    TokenQRegression,
    TrajectoryBalance,
)
from spo_jax.problems.contests.rules import ContestRules
from spo_jax.problems.feedback import FeedbackTemplate
from spo_jax.problems.letters import NamedLetters
from spo_jax.problems.prompt_answers import PromptColumns
from spo_jax.problems.prompts import PromptTemplate, TextTemplate
from spo_jax.problems.reasoning_gym import ReasoningGymSet
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.settings import (
    BatchSettings,
    EngineSettings,
    JudgeSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.trajectories import ReplayConfig

CONFIGURABLES: tuple[Callable[..., Any], ...] = (
    ActorSettings,
    AdamW,
    AdvantageRegression,
    BatchSettings,
    CheckpointSettings,
    ContestRules,
    EngineSettings,
    EvaluationSettings,
    ExactMatch,
    FeedbackTemplate,
    GeometricSchedule,
    GRPO,
    HttpReload,
    InitialValueSettings,
    JudgeSettings,
    LinearSchedule,
    MathVerify,
    MeshShape,
    ModelSource,
    NamedLetters,
    PPO,
    ProblemSource,
    PromptColumns,
    PromptTemplate,
    ReasoningGymSet,
    ReasoningGymVerifier,
    Reinforce,
    ReplayConfig,
    RewardMap,
    RLOO,
    RolloutSettings,
    SglangReload,
    ShellReload,
    SoftPolicyOptimization,
    Supervised,
    TextTemplate,
    TokenQRegression,
    TrajectoryBalance,
    VllmReload,
)
