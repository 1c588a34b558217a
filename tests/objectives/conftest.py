"""An exact world to test objectives in: every completion of one prompt, enumerated."""

import dataclasses
import functools
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spo_jax.objectives import ObjectiveInputs


class TokenTree:
    """All completions over `vocab` tokens: up to `horizon` long, or shorter where `eos` ends one.

    A policy is a table of logits, one row for each unfinished prefix. S prefixes, V tokens, B
    completions, T = horizon.
    """

    def __init__(self, vocab: int, horizon: int, eos: int | None):
        self.vocab, self.horizon = vocab, horizon
        everything = itertools.product(range(vocab), repeat=horizon)
        self.completions = list(dict.fromkeys(self._cut(c, eos) for c in everything))
        prefixes = dict.fromkeys(c[:t] for c in self.completions for t in range(len(c)))
        self.prefixes = {prefix: i for i, prefix in enumerate(prefixes)}
        shape = (len(self.completions), horizon)
        self.states, self.actions = np.zeros(shape, int), np.zeros(shape, int)
        self.mask = np.zeros(shape, bool)
        for b, completion in enumerate(self.completions):
            for t, action in enumerate(completion):
                self.states[b, t] = self.prefixes[completion[:t]]
                self.actions[b, t], self.mask[b, t] = action, True

    @staticmethod
    def _cut(completion, eos):
        return completion if eos not in completion else completion[: completion.index(eos) + 1]

    def random_logits(self, seed):
        shape = (len(self.prefixes), self.vocab)
        return np.random.default_rng(seed).normal(size=shape)

    def logprobs(self, logits_SV):
        """[B, T]; masked entries are whatever the table's first entry says."""
        return jax.nn.log_softmax(logits_SV, axis=-1)[self.states, self.actions]

    def probabilities(self, logits_SV):
        """Of whole completions, [B]."""
        return jnp.exp(jnp.sum(jnp.where(self.mask, self.logprobs(logits_SV), 0.0), axis=1))


@dataclasses.dataclass(eq=False)
class World:
    """A tree with a reference, a behaviour policy of full support, and rewards below 0."""

    tree: TokenTree
    beta: float
    seed: int

    def __post_init__(self):
        rng = np.random.default_rng(100 + self.seed)
        self.reference = self.tree.random_logits(self.seed)
        self.behavior = self.tree.random_logits(50 + self.seed)
        self.reward_B = -rng.uniform(0.05, 1.5, size=len(self.tree.completions))

    def optimum(self):
        """The soft-optimal distribution over completions and Q_0, by enumeration."""
        tilted = self.tree.probabilities(self.reference) * np.exp(self.reward_B / self.beta)
        return tilted / tilted.sum(), self.beta * jnp.log(tilted.sum())

    def inputs(self, logits_SV, weights_B, initial_value) -> ObjectiveInputs:
        num = len(self.tree.completions)
        return ObjectiveInputs(
            logprobs_BT=self.tree.logprobs(logits_SV),
            entropy_BT=jnp.zeros(self.tree.mask.shape),
            mask_BT=jnp.asarray(self.tree.mask),
            reward_B=jnp.asarray(self.reward_B),
            weights_B=jnp.asarray(weights_B),
            group_B=jnp.zeros(num, jnp.int32),
            is_online_B=jnp.zeros(num, bool),
            ref_logprobs_BT=self.tree.logprobs(jnp.asarray(self.reference)),
            initial_value_B=jnp.full(num, initial_value),
        )

    def gradient(self, objective, logits_SV, weights_B, initial_value=0.0):
        """Of the loss per weight, in the logits. [S, V]"""
        return self._gradient(
            objective, jnp.asarray(logits_SV), jnp.asarray(weights_B), initial_value
        )

    @partial(jax.jit, static_argnums=(0, 1))
    def _gradient(self, objective, logits_SV, weights_B, initial_value):
        def loss(logits_SV):
            output = objective(self.inputs(logits_SV, weights_B, initial_value))
            return output.loss_sum / output.weight_sum

        return jax.grad(loss)(logits_SV)

    def fit(self, objective, weights_B, initial_value=0.0, steps=2000):
        """Population gradient descent from the reference; the distribution it ends in. [B]"""
        return self._fit(objective, steps, jnp.asarray(weights_B), initial_value)

    @partial(jax.jit, static_argnums=(0, 1, 2))
    def _fit(self, objective, steps, weights_B, initial_value):
        optimizer = optax.adam(optax.cosine_decay_schedule(0.05, steps))

        def step(carry, _):
            logits_SV, state = carry
            grads = self._gradient(objective, logits_SV, weights_B, initial_value)
            updates, state = optimizer.update(grads, state)
            return (logits_SV + updates, state), None

        logits_SV = jnp.asarray(self.reference)
        carry = (logits_SV, optimizer.init(logits_SV))
        return self.tree.probabilities(jax.lax.scan(step, carry, None, length=steps)[0][0])


@functools.cache
def make_world(has_end_token):
    """One object for each tree, so that its jitted methods compile once in the whole suite."""
    tree = TokenTree(3, 4, eos=2) if has_end_token else TokenTree(4, 3, None)
    return World(tree, beta=0.5, seed=int(has_end_token))


@pytest.fixture(autouse=True)
def quick_compilation():
    """Tiny programs compile twice as fast so; they compute the same."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["with_end_token", "fixed_length"])
def world(request, float64):
    return make_world(request.param == "with_end_token")


@pytest.fixture
def make_inputs():
    """Builds random `ObjectiveInputs`: num_groups groups of `size`, lengths 1 to T."""

    def make(*, num_groups=3, size=4, length=6, dtype=jnp.float32, seed=0) -> ObjectiveInputs:
        rng = np.random.default_rng(seed)
        B = num_groups * size
        lengths = rng.integers(1, length + 1, size=B)
        return ObjectiveInputs(
            logprobs_BT=jnp.asarray(-rng.exponential(size=(B, length)), dtype),
            entropy_BT=jnp.asarray(rng.uniform(size=(B, length)), dtype),
            mask_BT=jnp.asarray(np.arange(length) < lengths[:, None]),
            reward_B=jnp.asarray(-rng.integers(0, 2, size=B), jnp.float32),
            weights_B=jnp.ones(B),
            group_B=jnp.repeat(jnp.arange(num_groups, dtype=jnp.int32), size),
            is_online_B=jnp.asarray(rng.integers(0, 2, size=B) > 0),
            step=jnp.zeros((), jnp.int32),
            ref_logprobs_BT=jnp.asarray(-rng.exponential(size=(B, length)), dtype),
            initial_value_B=jnp.full(B, -0.4),
            behavior_logprobs_BT=jnp.asarray(-rng.exponential(size=(B, length)), dtype),
            values_BT=jnp.asarray(rng.normal(-0.4, 0.2, size=(B, length)), dtype),
        )

    return make


@partial(jax.jit, static_argnums=(0, 2))
def _gradient_of(objective, inputs, name="logprobs_BT"):
    def loss(array):
        return objective(inputs._replace(**{name: array})).loss_sum

    return jax.grad(loss)(getattr(inputs, name))


@pytest.fixture
def gradient_of():
    """The gradient of an objective's loss sum in one of its inputs; compiled once in the suite."""
    return _gradient_of
