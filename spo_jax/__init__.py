"""Off-policy reinforcement learning for language models by Soft Policy Optimization, in JAX."""

__version__ = "0.1.0"
