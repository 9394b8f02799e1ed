"""Oracles for methods that explore: a lower bound, and pairs that nobody is asked about."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from prefloop import plugins
from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.oracles.pessimistic import Pessimistic
from prefloop.oracles.unasked import Unasked
from prefloop.types import Missing
from worlds import Says, query, response


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A scorer that looks up its scores by text."""

    by: dict[str, float]

    def score(self, responses):
        return [self.by.get(r.text, Missing("never seen")) for r in responses]


MEMBERS = (
    Fixed(by={" a": 1.0, " b": 2.0}),
    Fixed(by={" a": 1.2, " b": 6.0}),
    Fixed(by={" a": 0.8, " b": 4.0}),
)


def test_a_lower_bound_is_the_mean_less_the_members_standard_deviation():
    """ddof = 1: three members at 2, 6 and 4 have mean 4 and deviation 2."""
    a, b = Pessimistic(scorers=MEMBERS, scale=1.5).score([response(" a"), response(" b")])
    assert a == pytest.approx(1.0 - 1.5 * 0.2) and b == pytest.approx(4.0 - 1.5 * 2.0)


def test_what_the_members_dispute_is_not_preferred():
    asked = [query(" a", " b")]
    sure = BradleyTerry(scorer=Pessimistic(scorers=MEMBERS, scale=0.0), labels="probability")
    wary = BradleyTerry(scorer=Pessimistic(scorers=MEMBERS, scale=2.0), labels="probability")
    assert next(iter(sure.ask(asked))).p < 0.5 < next(iter(wary.ask(asked))).p


def test_a_score_that_one_member_cannot_give_is_missing():
    (found,) = Pessimistic(scorers=MEMBERS).score([response(" c")])
    assert found == Missing("never seen")


def test_scorers_in_a_config_are_built():
    spec = {"name": "pessimistic", "scorers": ["sentiment", "proxy"], "scale": 0.5}
    built = plugins.build("oracles", "bradley_terry", {"scorer": spec})
    (found,) = built.scorer.score([response(" good")])
    parts = [s.score([response(" good")])[0] for s in built.scorer.scorers]
    assert found == pytest.approx(np.mean(parts) - 0.5 * np.std(parts, ddof=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scorers": MEMBERS[:1]}, r"at least 2 scorers to disagree, got 1"),
        ({"scorers": MEMBERS, "scale": -1.0}, r"at least 0, got -1.0; below it is optimism"),
    ],
)
def test_what_is_no_ensemble_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Pessimistic(**options)


def test_only_pairs_of_the_policys_own_samples_are_not_asked_about():
    asked = []
    inner = Says(p=lambda q: asked.append(q.id) or 1.0)
    own = query(" x", " y", "own")
    mixed = replace(own, id="mixed", b=replace(own.b, source="reference"))
    given = replace(mixed, id="given", a=replace(own.a, source="dataset"))
    found = {a.query_id: a for a in Unasked(inner=inner).ask([own, mixed, given])}
    assert asked == ["mixed", "given"]
    assert {name: (a.p, a.cost) for name, a in found.items()} == {
        "own": (0.5, 0.0),
        "mixed": (1.0, 1.0),
        "given": (1.0, 1.0),
    }
