"""How much better an action or an answer did than expected. All are constants: no gradient.

Equations (Pn) are those of docs/objectives.md, section "Policy-gradient baselines".
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from spo_jax.objectives.groups import group_mean, leave_one_out_mean
from spo_jax.objectives.masked import at_least_float32

# In units of reward: below it rewards differ by rounding only, which must not be blown up.
MIN_STD = 1e-6


class TokenAdvantages(NamedTuple):
    """Of each chosen token, 0 elsewhere, in units of reward; the returns are for the critic."""

    advantages_BT: jax.Array
    returns_BT: jax.Array


@partial(jax.jit, static_argnames=("discount", "gae_lambda"))
def generalized_advantages(
    rewards_BT: jax.Array,
    values_BT: jax.Array,
    mask_BT: jax.Array,
    *,
    discount: float,
    gae_lambda: float,
) -> TokenAdvantages:
    """Equation (P7): A_t = delta_t + discount lambda A_next, delta_t = u_t + discount V_next - V_t.

    u_t is the reward of a token and "next" the next token that the policy chose: those of the
    environment in between cost no discount and their values are never read. After the last chosen
    token the value is 0, also where the length limit ended the answer. The returns are A_t + V_t.

    Source: Generalized Advantage Estimation, arXiv 1506.02438.
    """
    rewards_BT = at_least_float32(jnp.where(mask_BT, rewards_BT, 0))
    values_BT = at_least_float32(jnp.where(mask_BT, values_BT, 0))
    dtype = jnp.promote_types(rewards_BT.dtype, values_BT.dtype)

    def step(carry, token):
        next_value_B, next_advantage_B = carry
        reward_B, value_B, is_chosen_B = token
        error_B = reward_B + discount * next_value_B - value_B
        advantage_B = error_B + discount * gae_lambda * next_advantage_B
        carry = (
            jnp.where(is_chosen_B, value_B, next_value_B),
            jnp.where(is_chosen_B, advantage_B, next_advantage_B),
        )
        return carry, jnp.where(is_chosen_B, advantage_B, 0)

    zeros_B = jnp.zeros(mask_BT.shape[0], dtype)
    tokens = (rewards_BT.astype(dtype).T, values_BT.astype(dtype).T, mask_BT.T)
    _, advantages_TB = jax.lax.scan(step, (zeros_B, zeros_B), tokens, reverse=True)
    advantages_BT = jax.lax.stop_gradient(advantages_TB.T)
    return TokenAdvantages(advantages_BT, advantages_BT + jax.lax.stop_gradient(values_BT))


def on_last_token(reward_B: jax.Array, mask_BT: jax.Array) -> jax.Array:
    """The reward at the last chosen token of each sequence and 0 elsewhere. [B, T]"""
    remaining_BT = jax.lax.cumsum(mask_BT.astype(jnp.int32), axis=1, reverse=True)
    return jnp.where(mask_BT & (remaining_BT == 1), reward_B[:, None], 0)


def group_advantages(
    reward_B: jax.Array,
    weights_B: jax.Array,
    group_B: jax.Array,
    *,
    leave_one_out: bool = False,
    normalize_std: bool = False,
) -> jax.Array:
    """Equation (P8): reward minus the group's mean, or minus the mean of the others. [B]

    With `normalize_std` divided by the group's population standard deviation, of at least
    `MIN_STD`. Means and deviations are weighted. Exactly 0 where all rewards of a group are equal,
    a group of one included.

    Source: GRPO (DeepSeekMath), arXiv 2402.03300; RLOO, arXiv 2402.14740.
    """
    # Subtracting the group's largest reward changes no difference and makes equal rewards exact 0.
    num = reward_B.shape[0]
    reward_B = jax.lax.stop_gradient(reward_B)
    seen_B = jnp.where(weights_B > 0, reward_B, -jnp.inf)
    largest_B = jax.ops.segment_max(seen_B, group_B, num_segments=num)[group_B]
    shifted_B = jnp.where(weights_B > 0, reward_B - largest_B, 0)
    mean = leave_one_out_mean if leave_one_out else group_mean
    advantages_B = shifted_B - mean(shifted_B, weights_B, group_B)
    if normalize_std:
        centred_B = shifted_B - group_mean(shifted_B, weights_B, group_B)
        std_B = jnp.sqrt(group_mean(centred_B**2, weights_B, group_B))
        advantages_B = advantages_B / jnp.maximum(std_B, MIN_STD)
    return jnp.where(weights_B > 0, advantages_B, 0)
