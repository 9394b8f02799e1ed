"""Claims about the loop itself, run with `loop.online` in exact worlds."""

from functools import cache, partial

import numpy as np

from prefloop.config import Learn
from prefloop.explore.on_policy import on_policy
from prefloop.loop import online
from prefloop.losses.dpo import dpo
from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.theory import regret
from prefloop.theory.claim import claim, dice
from prefloop.theory.lab import METHODS, Lab, Method, Stepped
from prefloop.theory.tabular import TabularPolicy
from prefloop.theory.world import random_world


@claim("arXiv:2402.04792, online DPO", tolerance=0.05)
def online_dpo_reaches_the_optimum() -> float:
    """The package's own loop and AdamW learner close the gap (share of it left after 60 rounds)."""
    world = random_world(dice(90), prompts=2, responses=4)
    settings = Learn(lr=0.05, batch=32, schedule="linear", max_grad_norm=None, precision="float32")
    lab = Lab(
        world=world,
        oracle=BradleyTerry(scorer=world, labels="probability"),
        method=Method(name="on_policy", rule=on_policy, sources={"policy": 4}),
        learned=Stepped(
            policy=TabularPolicy(world), loss=partial(dpo, beta=0.5), settings=settings
        ),
        beta=0.5,
        questions=64,
    )
    start = lab.measure(0)["gap"]
    *_, last = online(lab.parts(), range(1, 61))
    return float(last["gap"] / start)


@cache
def _outcome(name: str) -> regret.Outcome:
    setting = regret.Setting(seeds=20, rounds=20, questions=10, beta=0.1)
    method = next(m for m in METHODS if m.name == name)
    return regret.run_method(method, setting, range(setting.seeds))


@claim("arXiv:2405.21046, why one side is the reference", tolerance=0.0)
def on_policy_pairs_run_out_of_questions() -> float:
    """At β = 0.1 most pairs from π × π coincide: they ask under a third of what π × π₀ asks."""
    both, mixed = _outcome("π × π"), _outcome("policy_vs_reference")
    return float(both.labels.mean() - mixed.labels.mean() / 3)


@claim("arXiv:2405.21046", tolerance=0.0)
def a_reference_side_keeps_learning_alive() -> float:
    """At β = 0.1, 200 questions, π × π₀ ends below π × π (upper 95 % limit of the difference)."""
    both, mixed = _outcome("π × π"), _outcome("policy_vs_reference")
    return regret.difference(mixed, both).high


@claim("arXiv:2405.19320, rate of offline learning", tolerance=0.0)
def offline_dpo_learns_at_least_like_one_over_root_n() -> float:
    """From N = 100 to 900 answers the gap falls no slower than N^(−1/2): slope + ½ ≤ 0."""
    sizes = (100, 300, 900)
    gaps = regret.offline(sizes, regret.Setting(seeds=12, beta=0.5))
    return regret.slope(sizes, gaps) + 0.5


@claim("prefloop, rng", tolerance=0.0)
def the_same_seed_gives_the_same_run() -> float:
    """Two runs of the lab's loop with one seed agree in every gap, bit for bit."""
    setting = regret.Setting(rounds=5)
    one, two = (regret.run_method(METHODS[5], setting, range(2)).gap for _ in range(2))
    return float(np.abs(one - two).max())
