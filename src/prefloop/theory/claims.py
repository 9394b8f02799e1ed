"""Every statement that `prefloop theory` checks."""

from prefloop.theory import (
    claims_comparisons,
    claims_games,
    claims_loop,
    claims_losses,
    claims_optimum,
    claims_samples,
)
from prefloop.theory.claim import Claim

TOPICS = {
    "the KL-regularised optimum": claims_optimum,
    "what the losses minimise": claims_losses,
    "what comparisons determine": claims_comparisons,
    "games and Nash points": claims_games,
    "samplers, KL estimates, counts": claims_samples,
    "the loop": claims_loop,
}

CLAIMS: tuple[tuple[str, Claim], ...] = tuple(
    (topic, thing)
    for topic, module in TOPICS.items()
    for thing in vars(module).values()
    if isinstance(thing, Claim)
)
"""(topic, claim): whatever a claims_*.py defines is listed, run and tested"""
