"""RLP with unsupervised multi-view learning."""

from prefloop.config import Config, Part, Phase
from prefloop.recipes._rlp import on_policy


def rlp_uml(config: Config) -> list[Phase]:
    """PPO, then a reward model that has also seen how the policy now writes, then PPO again.

    Lang et al. 2024 (arXiv:2403.19279), RLP-UML: the same answers, and a multi-view information
    bottleneck on pairs of the policy's samples of a prompt. Nobody is asked a second time.
    """
    views = config.reward.views or Part(name="bottleneck")
    return on_policy(config, {"explore.scorer": None, "reward.views": views}, asks=False)
