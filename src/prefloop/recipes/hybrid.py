"""Hybrid DPO."""

from prefloop.config import Config, Phase
from prefloop.recipes.dpo import dpo
from prefloop.recipes.online_dpo import online_dpo

FILE = {
    "rounds": None,
    "sample.sources": {"dataset": 2},
    "sample.prompts": None,
    "explore.rule": {"name": "on_policy"},
    "ask.oracle": {"name": "recorded"},
    "ask.labels": None,
}
"""what the first phase does whatever is set for the online rounds"""


def hybrid(config: Config) -> list[Phase]:
    """Offline DPO on a preference file, then online rounds that keep the file's labels.

    Xiong et al. 2024, the hybrid setting (arXiv:2312.11456): offline coverage first, then labels
    where the policy is.
    """
    offline = dpo(config.override(FILE))[0]
    kept = config.with_defaults({"learn.data": "all"})
    return [offline, *online_dpo(kept)]
