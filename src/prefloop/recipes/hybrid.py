"""Hybrid DPO."""

from prefloop.config import Config, Phase
from prefloop.recipes.dpo import dpo
from prefloop.recipes.online_dpo import online_dpo


def hybrid(config: Config) -> list[Phase]:
    """Offline DPO on a preference file, then online rounds that keep the file's labels.

    Xiong et al. 2024, the hybrid setting (arXiv:2312.11456): offline coverage first, then labels
    where the policy is.
    """
    offline = dpo(config.model_copy(update={"rounds": None}))[0]
    kept = config.with_defaults({"learn.data": "all"})
    return [offline, *online_dpo(kept)]
