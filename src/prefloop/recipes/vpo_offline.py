"""Value-incentivised preference optimisation, offline."""

from prefloop.config import Config, Phase
from prefloop.recipes.dpo import dpo


def vpo_offline(config: Config) -> list[Phase]:
    """Offline DPO with pessimism about the value: the chosen responses are pulled up.

    Cen et al. 2024 (arXiv:2405.19320). With the chosen responses as calibration it is DPO plus a
    likelihood term; in the exact lab pessimism helps at every size of the file.
    """
    settings = {"learn.bonus": {"name": "vpo", "mode": "offline"}, "learn.bonus_on": "chosen"}
    return dpo(config.with_defaults(settings))
