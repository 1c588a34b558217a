"""Samplers outside this process: servers that speak OpenAI's completions protocol."""

from spo_jax.acting.engines.engine import OpenAIEngine
from spo_jax.acting.engines.policy import EnginePolicies, PublishedDirectories, PublishedPolicy
from spo_jax.acting.engines.reloading import (
    HttpReload,
    Reload,
    SglangReload,
    ShellReload,
    VllmReload,
)

__all__ = [
    "EnginePolicies",
    "HttpReload",
    "OpenAIEngine",
    "PublishedDirectories",
    "PublishedPolicy",
    "Reload",
    "SglangReload",
    "ShellReload",
    "VllmReload",
]
