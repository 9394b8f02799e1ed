"""Every claim holds, each can fail, and the table says which."""

from contextlib import suppress

import pytest
from mutants import MUTANTS
from policy_mutants import POLICY_MUTANTS

from prefloop.theory import (
    claims_bonuses,
    claims_counts,
    claims_overoptimization,
    claims_policy,
    claims_rewards,
    claims_sail,
    claims_value,
    claims_widths,
)
from prefloop.theory.claim import Claim
from prefloop.theory.claims import CLAIMS
from prefloop.theory.fit import NoMinimum

BY_NAME = {claim.name: claim for _, claim in CLAIMS}


@pytest.mark.parametrize("claim", BY_NAME.values(), ids=BY_NAME)
def test_it_holds(claim: Claim):
    assert claim.holds(claim.check())


def test_every_claim_says_what_and_where():
    assert len(BY_NAME) == len(CLAIMS) >= 90
    for claim in BY_NAME.values():
        assert claim.statement and claim.source, claim.name
        assert 0 <= claim.tolerance <= 0.1


def test_a_measurement_that_is_no_number_does_not_hold():
    claim = BY_NAME["its_value_is_beta_log_z"]
    assert not claim.holds(float("nan")) and not claim.holds(float("inf"))


NEW = (
    claims_bonuses,
    claims_counts,
    claims_overoptimization,
    claims_policy,
    claims_rewards,
    claims_sail,
    claims_value,
    claims_widths,
)
ALL = MUTANTS | POLICY_MUTANTS
CASES = [(mutant, name) for mutant, made in ALL.items() for name in made.breaks]


@pytest.mark.parametrize(("mutant", "name"), CASES, ids=lambda x: x)
def test_a_wrong_formula_fails_its_claim(mutant, name, monkeypatch):
    """A fit that the wrong formula leaves without a minimum is a failure too."""
    made = ALL[mutant]
    monkeypatch.setattr(made.module, made.name, made.wrong)
    claim = BY_NAME[name]
    with suppress(NoMinimum):
        assert not claim.holds(claim.check())


def test_every_claim_about_what_a_formula_says_is_broken_by_some_wrong_one():
    broken = {name for made in ALL.values() for name in made.breaks}
    listed = {thing.name for module in NEW for thing in vars(module).values() if is_claim(thing)}
    assert listed - broken == set()


def is_claim(thing: object) -> bool:
    return isinstance(thing, Claim)
