"""What proximal policy optimisation sets in every recipe that has it."""

from typing import Any

PPO: dict[str, Any] = {
    "explore.scorer": {"name": "learned"},
    "learn.loss": {"name": "ppo"},
    "learn.epochs": 4,
    "learn.lr": 1e-5,
    "credit.estimator": "gae",
    "credit.critic": "reward",
}
