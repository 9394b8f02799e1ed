"""Every file in losses/ against every promise, and the promises against wrong losses."""

import sys
from types import ModuleType

import pytest
import torch
from loss_promises import (
    OF_A_FAMILY,
    OF_EVERY_LOSS,
    a_better_response_than_expected_is_pushed_up_and_a_worse_one_down,
    a_desirable_response_is_pushed_up_and_no_undesirable_one_is,
    a_row_is_worth_the_same_in_any_batch,
    family,
    it_is_finite_however_sure_the_policy_is,
    naming_the_pair_the_other_way_round_changes_nothing,
    on_the_first_step_it_is_the_policy_gradient,
    one_value_per_row,
    options_are_keywords_with_defaults,
    preferring_a_pushes_a_up_and_b_down,
    the_batch_is_left_as_it_was,
    the_gradient_matches_finite_differences,
    the_number_type_is_kept,
    the_paper_is_named,
)
from promises import exemptions, keep

from prefloop import plugins
from prefloop.batches import PairLogps, PointLogps, TokenLogps
from prefloop.losses.dpo import dpo
from prefloop.losses.reinforce import reinforce
from prefloop.losses.rloo import rloo

LOSSES = [plugins.find("losses", name) for name in plugins.names("losses")]
CASES = [
    pytest.param(promise, loss, id=f"{loss.__name__}-{promise.__name__}")
    for loss in LOSSES
    for promise in (*OF_EVERY_LOSS, *OF_A_FAMILY[family(loss)])
]


@pytest.mark.parametrize(("promise", "loss"), CASES)
def test_every_loss_keeps(promise, loss):
    keep(promise, loss)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_only_promises_that_exist_are_exempt(loss):
    known = {promise.__name__ for promise in (*OF_EVERY_LOSS, *OF_A_FAMILY[family(loss)])}
    assert set(exemptions(loss)) <= known


def reduced(y: PairLogps):
    return dpo(y).mean()


def wrong_way(y: PairLogps):
    return -dpo(y)


def blind_to_the_label(y: PairLogps):
    return -torch.nn.functional.logsigmoid(0.1 * y.margin)


def pushes_both(y: PairLogps):
    return -(y.a + y.b)


def half_detached(y: PairLogps):
    return dpo(y) * (0.1 * y.margin).exp().detach()


def overflowing(y: PairLogps):
    return y.p * (-y.margin).exp() + (1 - y.p) * y.margin.exp()


def centred(y: PairLogps):
    return dpo(y) - dpo(y).mean()


def cast(y: PairLogps):
    return dpo(y).float()


def meddling(y: PairLogps):
    y.ref_a.add_(1.0)
    return dpo(y)


def positional(y: PairLogps, beta=0.1):
    return dpo(y, beta=beta)


def unpreferring(y: PointLogps):
    return -y.y


def unlearning(y: TokenLogps):
    return -reinforce(y)


def indifferent_to_how_much(y: TokenLogps):
    return -y.advantage.sign() * y.y


def shared_by_long_responses(y: TokenLogps):
    return rloo(y) / y.summed(torch.ones_like(y.y))


def centred_here(y: TokenLogps):
    return -(y.advantage - y.advantage.mean()) * y.y


def unbounded_ratio(y: TokenLogps):
    return -y.advantage * y.log_ratio.exp()


def summed_over_the_response(y: TokenLogps):
    return rloo(y).new_zeros(int(y.response.max()) + 1).index_add(0, y.response, rloo(y))


@pytest.mark.parametrize(
    ("promise", "mutant"),
    [
        (one_value_per_row, reduced),
        (preferring_a_pushes_a_up_and_b_down, wrong_way),
        (preferring_a_pushes_a_up_and_b_down, pushes_both),
        (naming_the_pair_the_other_way_round_changes_nothing, blind_to_the_label),
        (the_gradient_matches_finite_differences, half_detached),
        (it_is_finite_however_sure_the_policy_is, overflowing),
        (a_row_is_worth_the_same_in_any_batch, centred),
        (the_number_type_is_kept, cast),
        (the_batch_is_left_as_it_was, meddling),
        (options_are_keywords_with_defaults, positional),
        (the_paper_is_named, reduced),
        (a_desirable_response_is_pushed_up_and_no_undesirable_one_is, unpreferring),
        (a_better_response_than_expected_is_pushed_up_and_a_worse_one_down, unlearning),
        (on_the_first_step_it_is_the_policy_gradient, indifferent_to_how_much),
        (on_the_first_step_it_is_the_policy_gradient, shared_by_long_responses),
        (a_row_is_worth_the_same_in_any_batch, centred_here),
        (it_is_finite_however_sure_the_policy_is, unbounded_ratio),
        (one_value_per_row, summed_over_the_response),
    ],
    ids=lambda f: f.__name__,
)
def test_a_wrong_loss_breaks_its_promise(promise, mutant):
    with pytest.raises((AssertionError, RuntimeError)):
        promise(mutant)


@pytest.fixture
def plugin(monkeypatch):
    """A loss in a file of its own that pushes the wrong way; its exemptions are the test's."""

    def make(exempt):
        module = ModuleType("odd_loss")
        module.exempt = exempt
        monkeypatch.setitem(sys.modules, "odd_loss", module)
        loss = lambda y: -dpo(y)
        loss.__module__ = "odd_loss"
        loss.__annotations__ = {"y": PairLogps}
        return loss

    return make


def test_an_exemption_with_a_reason_excuses(plugin):
    loss = plugin({"preferring_a_pushes_a_up_and_b_down": "it unlearns"})
    keep(preferring_a_pushes_a_up_and_b_down, loss)


def test_an_exemption_that_is_not_needed_is_refused(plugin):
    loss = plugin({"one_value_per_row": "it has no need of this"})
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        keep(one_value_per_row, loss)


def test_an_exemption_without_a_reason_is_refused(plugin):
    with pytest.raises(AssertionError, match="say why"):
        keep(
            preferring_a_pushes_a_up_and_b_down,
            plugin({"preferring_a_pushes_a_up_and_b_down": " "}),
        )
