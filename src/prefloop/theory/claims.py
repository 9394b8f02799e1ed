"""Every statement that `prefloop theory` checks."""

from prefloop.theory import (
    claims_bonuses,
    claims_comparisons,
    claims_counts,
    claims_games,
    claims_loop,
    claims_losses,
    claims_optimum,
    claims_overoptimization,
    claims_policy,
    claims_rewards,
    claims_sail,
    claims_samples,
    claims_value,
    claims_widths,
)
from prefloop.theory.claim import Claim

TOPICS = {
    "the KL-regularised optimum": claims_optimum,
    "what the losses minimise": claims_losses,
    "what comparisons determine": claims_comparisons,
    "what they leave open": claims_widths,
    "reward models": claims_rewards,
    "hoping for a high value, or fearing it": claims_value,
    "bonuses on samples": claims_bonuses,
    "counting": claims_counts,
    "samples that move with the policy": claims_sail,
    "games and Nash points": claims_games,
    "samplers and KL estimates": claims_samples,
    "policy gradients and rejection sampling": claims_policy,
    "over-optimisation": claims_overoptimization,
    "the loop": claims_loop,
}

CLAIMS: tuple[tuple[str, Claim], ...] = tuple(
    (topic, thing)
    for topic, module in TOPICS.items()
    for thing in vars(module).values()
    if isinstance(thing, Claim)
)
"""(topic, claim): whatever a claims_*.py defines is listed, run and tested"""
