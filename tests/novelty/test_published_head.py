"""The published count head is reproduced, and does not count."""

import numpy as np
import pytest
import torch

from novelty.known import collected, slope, units
from prefloop.novelty._head import COINS, HIDDEN, Head, flips, new
from prefloop.novelty.coin_flip_published import CoinFlipPublished, _kept

TIMES = (1, 4, 16, 64)


@pytest.fixture
def head(float64: None) -> Head:
    """The head with the weights of the published check (spec H1)."""
    made = Head(4096).eval().double()
    i, k, o = torch.arange(HIDDEN)[:, None], torch.arange(HIDDEN), torch.arange(COINS)[:, None]
    j = torch.arange(4096)
    with torch.no_grad():
        made.hidden.weight.copy_(0.01 * torch.sin(0.37 * (i + 1) + 0.011 * (j + 1)))
        made.hidden.bias.copy_(0.02 * torch.cos(i[:, 0].double()))
        made.out.weight.copy_(0.1 * torch.cos(0.5 * (o + 1) * (k + 1)))
        made.out.bias.copy_(0.03 * torch.sin(o[:, 0].double()))
    return made


def inputs() -> torch.Tensor:
    """Two samples of three positions: x, x/2, −x."""
    k = torch.arange(4096)
    x = torch.stack([torch.cos(0.013 * k), torch.sin(0.0071 * k)]).double()
    return torch.stack([x, 0.5 * x, -x], dim=1)


def test_its_forward_pass_is_the_published_one(head):
    out = head(inputs()).detach()
    assert sum(p.numel() for p in head.parameters()) == 131_764
    assert out[0, -1, :4].tolist() == pytest.approx(
        [-0.4216497046, 0.5335316946, -0.2011178923, 0.06960065722], abs=1e-9
    )
    assert out[1, -1, :4].tolist() == pytest.approx(
        [-0.7330248557, -0.08626836723, -0.1420159643, -0.01876833598], abs=1e-9
    )
    bonus = (out**2).mean(-1).sqrt()
    assert bonus[:, -1].tolist() == pytest.approx([0.4867614209, 0.447031763], abs=1e-9)
    assert bonus[:, 1].tolist() == pytest.approx([0.1858176437, 0.2078275546], abs=1e-9)


def test_its_error_is_the_mean_over_batch_and_coins(head):
    i, j = torch.arange(2)[:, None], torch.arange(COINS)
    wanted = torch.where(((20 * i + j) * 7) % 5 < 2, 1.0, -1.0)
    error = ((head(inputs()[:, -1]) - wanted) ** 2).mean()
    assert error.item() == pytest.approx(1.320679304, abs=1e-9)


def test_its_flips_are_those_of_numpys_old_generator_on_every_rank():
    draw = flips(42)
    first = "-1 1 1 1 -1 -1 -1 1 1 1 -1 1 1 -1 -1 -1 -1 1 -1 -1"
    second = "1 -1 -1 -1 -1 1 -1 1 1 -1 1 -1 -1 1 1 1 -1 -1 1 -1"
    for expected in (first, second):
        assert next(draw).tolist() == [[float(coin) for coin in expected.split()]]


def test_its_bonus_is_a_power_of_the_mean_square_behind_dropout():
    """η = 0.5 is the root; the published default of η = 0 makes every bonus 1."""
    rows = units(5, 12)
    head = new(12, 42)
    kept = np.stack([_kept(row, 0.1) for row in rows])
    assert set(np.unique(kept)) == {0.0, 1 / 0.9}
    with torch.no_grad():
        values = head.read(torch.tensor(rows * kept).float()).double().numpy()
    squares = (values**2).mean(1)
    np.testing.assert_allclose(CoinFlipPublished().score(rows), np.sqrt(squares), rtol=1e-6)
    np.testing.assert_allclose(CoinFlipPublished(exponent=1.0).score(rows), squares, rtol=1e-6)
    np.testing.assert_array_equal(CoinFlipPublished(exponent=0.0).score(rows), np.ones(5))


def test_dropout_zeroes_one_in_ten_and_keeps_the_mean():
    kept = np.stack([_kept(row, 0.1) for row in units(400, 50)])
    assert (kept == 0).mean() == pytest.approx(0.1, abs=0.01)
    assert kept.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_it_does_not_count(shared):
    """Near-orthogonal features, and features of which a direction is shared (spec D2, §9.4).

    The truth falls by a factor of 8 from 1 to 64 visits.
    """
    rng = np.random.default_rng(0)
    rows = np.sqrt(1 - shared) * rng.normal(size=(280, 256))
    rows += np.sqrt(shared) * rng.normal(size=256)
    part = CoinFlipPublished()
    readings = collected(part, rows[:160], TIMES)
    assert -0.2 < slope(readings, TIMES) < 0.02
    assert readings[0].mean() < 0.35
    unseen = part.score(rows[160:])
    assert unseen.mean() == pytest.approx(readings[0].mean(), rel=0.15)


def test_a_second_fit_forgets_the_first():
    rows = units(40, 16)
    one, two = CoinFlipPublished(), CoinFlipPublished()
    one.fit(rows[:20])
    one.fit(rows[20:])
    two.fit(rows[20:])
    np.testing.assert_array_equal(one.score(rows), two.score(rows))


def test_it_leaves_no_trace_in_torchs_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    part = CoinFlipPublished()
    part.fit(units(20, 8))
    part.score(units(3, 8))
    assert torch.equal(torch.rand(3), expected)
