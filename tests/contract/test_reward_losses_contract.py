"""Every file in losses/reward/ against every promise, and the promises against wrong losses."""

from dataclasses import replace

import pytest
import reward_promises as promised
import torch
from promises import exemptions, keep
from reward_promises import OF_A_FAMILY, OF_EVERY_LOSS, family
from torch.nn.functional import logsigmoid

from prefloop import plugins
from prefloop.batches import ListScores, PairLogps, PairScores, PointScores
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.reward.kwise import kwise
from prefloop.losses.reward.plackett_luce import plackett_luce
from prefloop.losses.reward.regression import regression

KIND = "losses/reward"
LOSSES = [plugins.find(KIND, name) for name in plugins.names(KIND)]
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


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_what_a_loss_needs_it_asks_for(loss):
    needs = plugins.card(KIND, loss.__name__).needs
    for name in needs:
        with pytest.raises(ValueError, match=f"{loss.__name__} needs {name}, .* got None"):
            loss(replace(promised.batch(loss), **{name: None}))
    optional = {name for name in ("strength",) if family(loss) is PairScores and name not in needs}
    y = promised.batch(loss)
    for name in optional:
        torch.testing.assert_close(loss(replace(y, **{name: None})), loss(y))


def test_a_loss_on_something_else_is_not_a_reward_models():
    with pytest.raises(LookupError, match=r"teach .* to make a PairLogps"):
        family(of_log_probabilities)


def of_log_probabilities(y: PairLogps):
    return y.a


def reduced(y: PairScores):
    return bradley_terry(y).mean()


def wrong_way(y: PairScores):
    return -bradley_terry(y)


def blind_to_the_label(y: PairScores):
    return -logsigmoid(y.gap)


def for_the_likelier_label(y: PairScores):
    return bradley_terry(replace(y, p=(y.p > 0.5).to(y.p)))


def of_levels(y: PairScores):
    return bradley_terry(y, center=0.01)


def on_one_side_only(y: PairScores):
    return -logsigmoid(y.gap - y.strength) * y.p - logsigmoid(-y.gap) * (1 - y.p)


def half_detached(y: PairScores):
    return bradley_terry(y) * y.gap.exp().detach()


def overflowing(y: PairScores):
    return y.p * (-y.gap).exp().log1p() + (1 - y.p) * y.gap.exp().log1p()


def centred(y: PairScores):
    return bradley_terry(y) - bradley_terry(y).mean()


def cast(y: PairScores):
    return bradley_terry(y).float()


def meddling(y: PairScores):
    y.p.mul_(0.9)
    return bradley_terry(y)


def positional(y: PairScores, center=0.0):
    return bradley_terry(y, center=center)


def worst_first(y: ListScores):
    return kwise(replace(y, rank=-y.rank))


def by_position(y: ListScores):
    return kwise(replace(y, rank=torch.arange(len(y.rank)).to(y.rank)))


def by_the_size_of_ranks(y: ListScores):
    return plackett_luce(y) * y.rank.max()


def across_lists(y: ListScores):
    return kwise(y) + 0.0 * y.list.unique() + y.score.logsumexp(0)


def without_its_ties(y: ListScores):
    return plackett_luce(replace(y, rank=y.rank - 1e-3 * y.score.detach().argsort().argsort()))


def filled_with_zero(y: PointScores):
    return regression(replace(y, target=y.target.nan_to_num()))


def masked_too_late(y: PointScores):
    return ((y.score - y.target) ** 2).nan_to_num().mean(1)


def downhill(y: PointScores):
    return -regression(y)


@pytest.mark.parametrize(
    ("promise", "mutant"),
    [
        (promised.one_value_per_row, reduced),
        (promised.preferring_a_pushes_a_up_and_b_down, wrong_way),
        (promised.naming_the_pair_the_other_way_round_changes_nothing, blind_to_the_label),
        (promised.naming_the_pair_the_other_way_round_changes_nothing, on_one_side_only),
        (promised.a_soft_label_is_the_mean_of_hard_ones, for_the_likelier_label),
        (promised.the_level_of_a_pair_changes_nothing, of_levels),
        (promised.the_gradient_matches_finite_differences, half_detached),
        (promised.it_is_finite_however_sure_the_model_is, overflowing),
        (promised.a_row_is_worth_the_same_in_any_batch, centred),
        (promised.the_number_type_is_kept, cast),
        (promised.the_batch_is_left_as_it_was, meddling),
        (promised.options_are_keywords_with_defaults, positional),
        (promised.the_paper_is_named, reduced),
        (promised.the_best_is_pushed_up_and_the_worst_down, worst_first),
        (promised.in_what_order_the_responses_come_changes_nothing, by_position),
        (promised.ranks_are_an_order_and_no_more, by_the_size_of_ranks),
        (promised.the_level_of_a_list_changes_nothing, across_lists),
        (promised.a_row_is_worth_the_same_in_any_batch, across_lists),
        (promised.the_tied_are_pushed_together, without_its_ties),
        (promised.known_ratings_pull_and_unknown_ones_do_not, filled_with_zero),
        (promised.known_ratings_pull_and_unknown_ones_do_not, masked_too_late),
        (promised.known_ratings_pull_and_unknown_ones_do_not, downhill),
        (promised.a_response_that_is_rated_right_costs_nothing, downhill),
    ],
    ids=lambda f: f.__name__,
)
def test_a_wrong_loss_breaks_its_promise(promise, mutant):
    with pytest.raises((AssertionError, RuntimeError)):
        promise(mutant)
