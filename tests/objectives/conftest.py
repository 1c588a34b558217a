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

    def logits_of(self, probabilities_B):
        """The table of a distribution over completions."""
        table = np.zeros((len(self.prefixes), self.vocab))
        shares = np.where(self.mask, np.asarray(probabilities_B)[:, None], 0.0)
        np.add.at(table, (self.states, self.actions), shares)
        return np.log(table)


@dataclasses.dataclass(eq=False)
class World:
    """A tree with a reference, a behaviour policy of full support, and rewards below 0."""

    tree: TokenTree
    beta: float
    seed: int
    reference: np.ndarray | None = None
    reward_B: np.ndarray | None = None

    def __post_init__(self):
        rng = np.random.default_rng(100 + self.seed)
        rewards = -rng.uniform(0.05, 1.5, size=len(self.tree.completions))
        self.behavior = self.tree.random_logits(50 + self.seed)
        if self.reference is None:
            self.reference = self.tree.random_logits(self.seed)
        if self.reward_B is None:
            self.reward_B = rewards

    def optimum(self):
        """The soft-optimal distribution over completions and Q_0, by enumeration."""
        tilted = self.tree.probabilities(self.reference) * np.exp(self.reward_B / self.beta)
        return tilted / tilted.sum(), self.beta * jnp.log(tilted.sum())

    @functools.cached_property
    def values(self):
        """Soft Bellman recursion, by prefix: V(s) = beta log sum_a pi_ref(a|s) e^{Q(s, a)/beta}."""
        tree, beta = self.tree, self.beta
        log_ref = self.reference - np.logaddexp.reduce(self.reference, axis=1, keepdims=True)
        values = dict(zip(tree.completions, self.reward_B, strict=True))
        for prefix in sorted(tree.prefixes, key=len, reverse=True):
            terms = [
                log_ref[tree.prefixes[prefix], a] + values[(*prefix, a)] / beta
                for a in range(tree.vocab)
            ]
            values[prefix] = beta * np.logaddexp.reduce(terms)
        return values

    @functools.cached_property
    def values_before(self):
        """The soft value before each token, [B, T]; 0 where masked."""
        values_BT = np.zeros(self.tree.mask.shape)
        for b, completion in enumerate(self.tree.completions):
            for t in range(len(completion)):
                values_BT[b, t] = self.values[completion[:t]]
        return values_BT

    def shortfall(self, policy_B):
        """KL(optimum || policy) in nats."""
        optimum_B, _ = self.optimum()
        return float(jnp.sum(optimum_B * (jnp.log(optimum_B) - jnp.log(policy_B))))

    def inputs(self, logits_SV, weights_B, initial_value=0.0) -> ObjectiveInputs:
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
            behavior_logprobs_BT=self.tree.logprobs(jnp.asarray(self.behavior)),
            values_BT=jnp.asarray(self.values_before),
        )

    def online_inputs(self, logits_SV, initial_value=0.0) -> ObjectiveInputs:
        """Every completion, weighted by the policy's own probability: fresh data."""
        policy_B = jax.lax.stop_gradient(self.tree.probabilities(logits_SV))
        inputs = self.inputs(logits_SV, policy_B, initial_value)
        return inputs._replace(
            is_online_B=jnp.ones_like(inputs.is_online_B),
            behavior_logprobs_BT=jax.lax.stop_gradient(inputs.logprobs_BT),
        )

    def gradient(self, objective, logits_SV, weights_B=None, initial_value=0.0):
        """Of the loss per weight, in the logits; of fresh data without `weights_B`. [S, V]"""
        weights_B = None if weights_B is None else jnp.asarray(weights_B)
        return self._gradient(objective, jnp.asarray(logits_SV), weights_B, initial_value)

    @partial(jax.jit, static_argnums=(0, 1))
    def _gradient(self, objective, logits_SV, weights_B, initial_value):
        return self._gradient_and_output(objective, logits_SV, weights_B, initial_value)[0]

    def _gradient_and_output(self, objective, logits_SV, weights_B, initial_value):
        def loss(logits_SV):
            if weights_B is None:
                inputs = self.online_inputs(logits_SV, initial_value)
            else:
                inputs = self.inputs(logits_SV, weights_B, initial_value)
            output = objective(inputs)
            return output.loss_sum / output.weight_sum, output

        return jax.grad(loss, has_aux=True)(logits_SV)

    def fit(self, objective, weights_B=None, initial_value=0.0, steps=2000, rate=0.0):
        """Population gradient descent from the reference; the distribution it ends in. [B]

        Without `weights_B` on fresh data of the policy itself. With a `rate` the initial value
        follows what each batch says, and is returned too.
        """
        weights_B = None if weights_B is None else jnp.asarray(weights_B)
        policy_B, value = self._fit(objective, steps, rate, weights_B, initial_value)
        return (policy_B, float(value)) if rate else policy_B

    @partial(jax.jit, static_argnums=(0, 1, 2, 3))
    def _fit(self, objective, steps, rate, weights_B, initial_value):
        optimizer = optax.adam(optax.cosine_decay_schedule(0.05, steps))

        def step(carry, _):
            logits_SV, state, value = carry
            grads, output = self._gradient_and_output(objective, logits_SV, weights_B, value)
            updates, state = optimizer.update(grads, state)
            if rate:
                value = value + rate * (output.initial_value_B[0] - value)
            return (logits_SV + updates, state, value), None

        logits_SV = jnp.asarray(self.reference)
        carry = (logits_SV, optimizer.init(logits_SV), jnp.asarray(initial_value, jnp.float64))
        (logits_SV, _, value), _ = jax.lax.scan(step, carry, None, length=steps)
        return self.tree.probabilities(logits_SV), value


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
