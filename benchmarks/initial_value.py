"""Measures what a wrong initial value does to offline SPO, on an exact problem with 1024 answers.

    python benchmarks/initial_value.py              # the table of docs/objectives.md, in seconds

The policy is one softmax over all answers, the data are the reference's own probabilities of them
(every answer is seen, as often as the reference gives it), about 8 % of the mass is right, and
R / beta is 5. Each cell is the policy that gradient descent on the whole data ends in: its
probability of being right, the effective number of different right answers (the exponential of
their entropy) and KL(optimum || policy) in nats.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spo_jax.objectives import ObjectiveInputs, SoftPolicyOptimization

BETA, REWARD_WRONG = 1.0, -5.0
ERRORS = (-2.0, -1.0, -0.3, 0.0, 0.3, 1.0)
OBJECTIVES = {
    "squared": SoftPolicyOptimization(beta=BETA, baseline="initial_value"),
    "cross-entropy": SoftPolicyOptimization(
        beta=BETA, link="cross_entropy", baseline="initial_value", margin=0.01
    ),
    "cross-entropy, profiled": SoftPolicyOptimization(
        beta=BETA, link="cross_entropy", baseline="profiled", margin=0.01
    ),
    "squared, group": SoftPolicyOptimization(beta=BETA, baseline="group"),
}


def reference_and_rewards(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of all answers of five tokens out of four, and their rewards."""
    rng = np.random.default_rng(seed)
    log_ref_B = np.zeros(1)
    for length in range(5):
        logits = rng.normal(size=(4**length, 4))
        steps = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        log_ref_B = (log_ref_B[:, None] + steps).reshape(-1)
    order = rng.permutation(log_ref_B.size)
    is_right_B = np.zeros(log_ref_B.size, bool)
    is_right_B[order[np.cumsum(np.exp(log_ref_B[order])) < 0.08]] = True
    return log_ref_B, np.where(is_right_B, 0.0, REWARD_WRONG)


@partial(jax.jit, static_argnums=(0, 4))
def fit(objective, log_ref_B, reward_B, initial_value, num_steps: int):
    """Population gradient descent from the reference; log-probabilities of the answers. [B]"""
    num = log_ref_B.shape[0]
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, num_steps))

    def loss(logits_B):
        inputs = ObjectiveInputs(
            logprobs_BT=jax.nn.log_softmax(logits_B)[:, None],
            entropy_BT=jnp.zeros((num, 1)),
            mask_BT=jnp.ones((num, 1), bool),
            reward_B=reward_B,
            weights_B=jnp.exp(log_ref_B),
            group_B=jnp.zeros(num, jnp.int32),
            is_online_B=jnp.zeros(num, bool),
            ref_logprobs_BT=log_ref_B[:, None],
            initial_value_B=jnp.full(num, initial_value),
        )
        return objective(inputs).loss_sum

    def step(carry, _):
        logits_B, state = carry
        updates, state = optimizer.update(jax.grad(loss)(logits_B), state)
        return (logits_B + updates, state), None

    carry = (log_ref_B, optimizer.init(log_ref_B))
    return jax.nn.log_softmax(jax.lax.scan(step, carry, None, length=num_steps)[0][0])


def description(policy_B: np.ndarray, optimum_B: np.ndarray, is_right_B: np.ndarray) -> str:
    """P(right) / effective number of right answers / KL(optimum || policy)."""
    right_B = policy_B[is_right_B] / policy_B[is_right_B].sum()
    effective = np.exp(-np.sum(right_B * np.log(right_B)))
    divergence = np.sum(optimum_B * np.log(optimum_B / policy_B))
    return f"{policy_B[is_right_B].sum():.3f} / {effective:.1f} / {max(divergence, 0.0):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=16000, help="of gradient descent")
    parser.add_argument("--seed", type=int, default=0, help="of the reference")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    log_ref_B, reward_B = reference_and_rewards(args.seed)
    is_right_B = reward_B == 0
    initial_value = BETA * np.logaddexp.reduce(log_ref_B + reward_B / BETA)
    optimum_B = np.exp(log_ref_B + (reward_B - initial_value) / BETA)
    print(f"{is_right_B.sum()} of {is_right_B.size} answers are right, Q_0 is {initial_value:.3f}")
    print(f"reference: {description(np.exp(log_ref_B), optimum_B, is_right_B)}")
    print(f"optimum:   {description(optimum_B, optimum_B, is_right_B)}\n")
    print("| error of Q_0, nats |", " | ".join(OBJECTIVES), "|")
    print("|---" * (len(OBJECTIVES) + 1) + "|")
    for error in ERRORS:
        cells = []
        for objective in OBJECTIVES.values():
            policy = fit(objective, log_ref_B, reward_B, initial_value + BETA * error, args.steps)
            cells.append(description(np.exp(np.asarray(policy)), optimum_B, is_right_B))
        print(f"| {error:+.1f} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
