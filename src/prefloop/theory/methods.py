"""What the lab compares: pair rules, and bonuses beside plain online DPO."""

from collections.abc import Mapping
from functools import partial

from prefloop.explore.apl import apl
from prefloop.explore.best_random import best_random
from prefloop.explore.best_worst import best_worst
from prefloop.explore.checkpoint_pair import checkpoint_pair
from prefloop.explore.double_thompson import double_thompson
from prefloop.explore.enhancer import enhancer
from prefloop.explore.ensemble_best_arm import ensemble_best_arm
from prefloop.explore.infomax import infomax
from prefloop.explore.max_uncertainty import max_uncertainty
from prefloop.explore.most_disputed import most_disputed
from prefloop.explore.on_policy import on_policy
from prefloop.explore.policy_vs_reference import policy_vs_reference
from prefloop.explore.temperature_pair import temperature_pair
from prefloop.theory.bonuses import Bonus, Count, Value
from prefloop.theory.lab import Method, Proposer
from prefloop.theory.rules import gibbs_thompson

BASELINE = "π × π"


def pair_rules(beta: float) -> tuple[Method, ...]:
    """Every rule of `explore/` that has its say in a world without a file of pairs."""
    return (
        Method(name=BASELINE, rule=on_policy, sources={"policy": 2}),
        Method(name="on_policy of 4", rule=on_policy, sources={"policy": 4}),
        Method(name="π₀ × π₀", rule=on_policy, sources={"reference": 2}),
        _reference(),
        Method(name="best_random of 4", rule=best_random, sources={"policy": 4}),
        Method(name="best_worst of 4", rule=best_worst, sources={"policy": 4}),
        Method(name="best_worst of 2 + 2", rule=best_worst, sources={"policy": 2, "reference": 2}),
        Method(name="apl of 4", rule=apl, sources={"policy": 4}),
        Method(name="temperature_pair", rule=temperature_pair, sources={"policy": 1, "hot": 1}),
        Method(name="checkpoint_pair", rule=checkpoint_pair, sources={"policy": 1, "previous": 1}),
        Method(
            name="max_uncertainty",
            rule=max_uncertainty,
            sources={"policy": 1, "reference": "all"},
        ),
        Method(name="enhancer of 8", rule=partial(enhancer, beta=beta), sources={"policy": 8}),
        Method(name="GSHF agents", rule=temperature_pair, sources={"policy": 1, "enhancer": 1}),
        Method(name="most_disputed", rule=most_disputed, sources={"reference": "all"}),
        Method(name="infomax", rule=infomax, sources={"reference": "all"}),
        Method(name="ensemble_best_arm", rule=ensemble_best_arm, sources={"reference": "all"}),
        Method(name="double_thompson", rule=double_thompson, sources={"reference": "all"}),
        Method(
            name="gibbs_thompson",
            rule=partial(gibbs_thompson, beta=beta),
            sources={"reference": "all"},
        ),
    )


def bonuses(beta: float, ridge: float) -> tuple[Method, ...]:
    """VPO, XPO and COPO on the pairs of their papers, beside the same pairs without a bonus.

    α is a share of 2βρ, up to which a fit with optimism has a single minimum.
    """
    most = 2 * beta * ridge
    return (
        _on_policy(),
        _on_policy("vpo ¼", Value(alpha=most / 4)),
        _on_policy("vpo ½", Value(alpha=most / 2)),
        _on_policy("vpo .95", Value(alpha=0.95 * most)),
        _on_policy("vpo .95, uniform", Value(alpha=0.95 * most, calibration="uniform")),
        _on_policy("vpo .95, chosen", Value(alpha=0.95 * most, calibration="chosen")),
        _on_policy("pessimism ½", Value(alpha=most / 2, mode="offline")),
        _on_policy("copo ¼", Count(alpha=most / 4)),
        _on_policy("copo 1", Count(alpha=most)),
        _reference(),
        _reference("xpo ½", Value(alpha=most / 2)),
        _reference("xpo .95", Value(alpha=0.95 * most)),
        _reference("copo 1", Count(alpha=most)),
    )


def _on_policy(bonus: str = "", part: Bonus | None = None) -> Method:
    name = f"{BASELINE} + {bonus}" if bonus else BASELINE
    return Method(name=name, rule=on_policy, sources={"policy": 2}, bonus=part)


def _reference(bonus: str = "", part: Bonus | None = None) -> Method:
    name = f"π × π₀ + {bonus}" if bonus else "policy_vs_reference"
    sources: Mapping[Proposer, int] = {"policy": 1, "reference": 1}
    beside = "policy_vs_reference" if bonus else BASELINE
    return Method(name=name, rule=policy_vs_reference, sources=sources, bonus=part, beside=beside)
