"""Every claim holds, each can fail, and the table says which."""

import pytest
import torch

from prefloop.theory import closed, comparisons, counts, games
from prefloop.theory.claim import Claim
from prefloop.theory.claims import CLAIMS

BY_NAME = {claim.name: claim for _, claim in CLAIMS}


@pytest.mark.parametrize("claim", BY_NAME.values(), ids=BY_NAME)
def test_it_holds(claim: Claim):
    assert claim.holds(claim.check())


def test_every_claim_says_what_and_where():
    assert len(BY_NAME) == len(CLAIMS) >= 40
    for claim in BY_NAME.values():
        assert claim.statement and claim.source, claim.name
        assert 0 <= claim.tolerance <= 0.1


def test_a_measurement_that_is_no_number_does_not_hold():
    claim = BY_NAME["its_value_is_beta_log_z"]
    assert not claim.holds(float("nan")) and not claim.holds(float("inf"))


MUTANTS = {
    "the tilt with its sign flipped": (
        closed,
        "tilt",
        lambda prior, reward, beta: (prior - reward / beta).log_softmax(-1),
        ("the_tilt_is_the_best_policy", "dpo_on_all_pairs_gives_the_rlhf_optimum"),
    ),
    "the tilt by β r": (
        closed,
        "tilt",
        lambda prior, reward, beta: (prior + reward * beta).log_softmax(-1),
        ("its_value_is_beta_log_z", "the_whole_gap_is_one_kl"),
    ),
    "the other KL": (
        closed,
        "kl",
        lambda p, q: (q.exp() * (q - p)).sum(-1),
        ("the_whole_gap_is_one_kl", "as_a_loss_k3_is_the_forward_kl"),
    ),
    "k1 and k3 exchanged": (
        closed,
        "kl_estimators",
        lambda r: {"k1": torch.expm1(-r) + r, "k2": r**2 / 2, "k3": r},
        ("as_a_loss_k1_does_nothing", "k3_does_not_always_vary_less_than_k1"),
    ),
    "the best taken for the worst": (
        closed,
        "worst_of",
        closed.best_of,
        ("best_and_worst_of_n_have_these_laws",),
    ),
    "wins counted for the loser": (
        comparisons,
        "bradley_terry",
        lambda wins, **_: comparisons_fit(wins.T),
        ("at_the_fit_expected_wins_are_the_wins", "newton_finds_what_minorise_maximise_finds"),
    ),
    "widths that do not subtract the centre": (
        comparisons,
        "width",
        lambda phi, centre, cov: ((phi @ torch.linalg.inv(cov)) * phi).sum(-1).sqrt(),
        ("only_differences_of_features_are_identified",),
    ),
    "a limit from single responses": (
        comparisons,
        "optimism_limit",
        lambda wins, cal: float((wins.sum(0) / (1 - cal)).min()),
        ("single_responses_do_not_tell_the_limit",),
    ),
    "a best response to minus the payoff": (
        games,
        "nash",
        lambda prior, payoff, beta: nash(prior, -payoff, beta),
        ("the_nash_point_answers_itself", "with_reward_differences_nash_is_the_rlhf_optimum"),
    ),
    "coins that vary too little": (
        counts,
        "coin_variance",
        lambda visits, coins=1: (1 / visits**2 - 1 / visits**3) / coins,
        ("coins_count_without_bias", "more_coins_vary_less"),
    ),
}
comparisons_fit, nash = comparisons.bradley_terry, games.nash
CASES = [(mutant, name) for mutant, (*_, names) in MUTANTS.items() for name in names]


@pytest.mark.parametrize(("mutant", "name"), CASES, ids=lambda x: x)
def test_a_wrong_formula_fails_its_claim(mutant, name, monkeypatch):
    module, attribute, wrong, _ = MUTANTS[mutant]
    monkeypatch.setattr(module, attribute, wrong)
    claim = BY_NAME[name]
    assert not claim.holds(claim.check())
