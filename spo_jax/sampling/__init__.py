"""Sampling on device: prefill, insert, generate, with continuous batching on the host."""

from spo_jax.sampling.requests import SampleRequest, SamplingProgress
from spo_jax.sampling.sampler import Sampler

__all__ = ["SampleRequest", "Sampler", "SamplingProgress"]
