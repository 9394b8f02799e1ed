"""Pessimistic DPO: what it minimises, and that its sign is right."""

from dataclasses import replace
from functools import partial
from math import log

import pytest
import torch

from prefloop.losses.dpo import dpo
from prefloop.losses.margin_dpo import margin_dpo
from worlds import Bandit, pairs, tilt

PRIOR = torch.tensor((0.3, 0.3, 0.2, 0.1, 0.1), dtype=torch.float64)
REWARD = torch.tensor(
    (1.3719821511, 0.5324734259, 1.1426733462, 1.2256206065, 1.2988013788), dtype=torch.float64
)
WIDTH = torch.tensor(
    (0.1334418813, 0.1230004900, 0.1283969583, 0.4517713428, 0.1881057987), dtype=torch.float64
)
"""r_MLE and ‖φ − ν‖ of the five arms of the specification (theory.md, C8), scale 0.6, β = 0.5"""
FIRST, SECOND = torch.cartesian_prod(*[torch.arange(5)] * 2).T


def step(width: torch.Tensor, **options: float) -> torch.Tensor:
    """The minimiser where labels follow r_MLE."""
    world = Bandit.bradley_terry(PRIOR, REWARD)
    loss = partial(margin_dpo, **options)
    return world.fit(lambda y: loss(replace(y, width_a=width[FIRST], width_b=width[SECOND])))


def test_it_finds_the_pessimistic_policy_of_the_specification():
    expected = torch.tensor([0.4872488941, 0.0920458928, 0.2065920877, 0.0827185877, 0.1313945376])
    torch.testing.assert_close(step(WIDTH, beta=0.5, scale=0.6), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("beta", [0.2, 1.0])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_it_tilts_by_the_lower_end_of_the_reward(beta, scale):
    """arXiv:2312.11456: π ∝ π_ref exp((r_MLE − κΓ)/β)."""
    expected = tilt(PRIOR, REWARD - scale * WIDTH, beta)
    torch.testing.assert_close(step(WIDTH, beta=beta, scale=scale), expected, rtol=1e-6, atol=1e-8)


def test_the_wrong_sign_tilts_by_the_upper_end():
    expected = tilt(PRIOR, REWARD + 0.6 * WIDTH, 0.5)
    torch.testing.assert_close(step(WIDTH, beta=0.5, scale=-0.6), expected, rtol=1e-6, atol=1e-8)
    greedy = tilt(PRIOR, REWARD, 0.5)
    assert step(WIDTH, beta=0.5)[3] < greedy[3] < step(WIDTH, beta=0.5, scale=-1.0)[3]


def test_where_all_is_equally_unsure_or_widths_do_not_count_it_is_dpo():
    y = pairs()
    torch.testing.assert_close(margin_dpo(replace(y, width_b=y.width_a), scale=7.0), dpo(y))
    torch.testing.assert_close(margin_dpo(y, scale=0.0), dpo(y))
    assert not torch.isclose(margin_dpo(y), dpo(y)).any()


def test_where_the_widths_take_back_the_margin_the_loss_is_the_logarithm_of_two():
    y = pairs()
    y = replace(y, width_b=y.width_a + 0.1 * y.margin)
    torch.testing.assert_close(margin_dpo(y), torch.full((32,), log(2)))


def test_it_asks_for_the_widths():
    with pytest.raises(ValueError, match="margin_dpo needs width_a and width_b"):
        margin_dpo(replace(pairs(), width_b=None))
