"""SAIL on a preference file, with some of the labels the policy's own."""

from prefloop.config import Config, Phase
from prefloop.recipes.dpo import dpo


def sail_dp(config: Config) -> list[Phase]:
    """Offline DPO in which a share of the pairs is labelled by the policy instead of the file.

    Ding et al. 2024 (arXiv:2406.15567), code name DDP: in expectation DPO on the rest, plus a term
    that makes the policy surer of its own preferences.
    """
    loss = {"name": "sail", "own_offline": 0.4, "rho": 0.2}
    return dpo(config.with_defaults({"learn.loss": loss}))
