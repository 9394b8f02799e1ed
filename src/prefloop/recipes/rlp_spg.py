"""RLP with synthetic preference generation."""

from prefloop.config import Config, Phase
from prefloop.recipes._rlp import on_policy

RULE = "largest_cluster"


def rlp_spg(config: Config) -> list[Phase]:
    """PPO, a reward model that also learns from where the policy agrees with itself, PPO again.

    Lang et al. 2024 (arXiv:2403.19279), RLP-SPG: of ten samples of a prompt, the best of the
    largest cluster of like meaning is preferred to one outside it, where the cluster holds at
    least half. `reward.views=bottleneck` adds UML's term, which the paper did not try.
    """
    chosen = config.explore.rule
    again = {
        "explore.rule": chosen if chosen.name == RULE else {"name": RULE},
        "explore.clusters": config.explore.clusters or {"name": "cosine"},
        "ask.oracle": {"name": "asserted"},
    }
    plain = {"explore.rule": {"name": "on_policy"}, "explore.clusters": None}
    return on_policy(config.override(plain), again, asks=True)
