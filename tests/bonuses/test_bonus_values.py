"""Bonuses beside DPO against the numbers of the published functions (value and gradient)."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from prefloop.batches import PairLogps, SampleLogps
from prefloop.bonuses.copo import copo
from prefloop.bonuses.selm import selm
from prefloop.bonuses.vpo import vpo
from prefloop.bonuses.xpo import xpo
from prefloop.losses.dpo import dpo
from prefloop.losses.ipo import ipo

FLIPS = [0.5, -0.5, 0.25, -0.25, 1, -1, 0.1, -0.1, 0.3, -0.3, 0.7, -0.7, 0.05, -0.05]
FLIPS += [0.9, -0.9, 0.2, -0.2, 0.6, -0.6]
B = 0.558121850
"""√(mean square) of the head's outputs above"""
CONSTANT = 0.1
"""hard-coded in COPO's published loss, beside α"""


def pair(pc: float, pr: float, rc: float, rr: float) -> PairLogps:
    """The chosen response first."""
    column = lambda x: torch.tensor([float(x)], requires_grad=True)
    one = torch.ones(1)
    return PairLogps(
        a=column(pc),
        b=column(pr),
        ref_a=column(rc).detach(),
        ref_b=column(rr).detach(),
        p=one,
        len_a=one,
        len_b=one,
    )


def sample(y: float, ref: float, novelty: float = 1.0) -> SampleLogps:
    """One response, drawn by the reference."""
    column = lambda x: torch.tensor([float(x)])
    return SampleLogps(
        y=torch.tensor([float(y)], requires_grad=True),
        ref=column(ref),
        drawn=column(ref),
        length=column(1.0),
        novelty=column(novelty),
        source=("reference",),
    )


def test_the_heads_reading() -> None:
    assert torch.tensor(FLIPS).square().mean().sqrt().item() == pytest.approx(B, abs=1e-9)


COPO: dict[str, tuple[tuple[float, ...], float, float, float, tuple[float, ...]]] = {
    "C1": ((-120, -135, -118.5, -121, -133, -119), 0.01, 1e-4, B, (0.6782596763, 0.001090422029)),
    "C2": ((-120, -135, -118.5, -120, -135, -118.5), 0.01, 1e-4, B, (0.6931471806, 0.00066137439)),
    "C3": ((-110, -140, -100, -121, -133, -103), 0.01, 1e-4, B, (0.6071917248, 0.002790609252)),
    "C6": ((-120, -135, -118.5, -121, -133, -119), 0.01, 1e-4, 1.0, (0.6782596763, 0.00195373471)),
    "C7": ((-120, -135, -118.5, -121, -133, -119), 0.01, 1e-4, B**2, (0.6782596763, 0.00060858836)),
    "C9": ((-20, -25, -18.5, -21, -24, -19), 0.1, 0.1, 0.0, (0.5981388694, 0.0)),
    "C10": ((-20, -25, -18.5, -21, -24, -19), 0.1, 0.1, 1.0, (0.5981388694, 0.3050134351)),
    "C12": ((0, -5000, -10, 0, 0, -10), 0.1, 1e-4, B, (7.124576407e-218, 5.581218505e-05)),
}
SLOPES = {
    "C1": (-0.004925005624, -9.201873666e-06),
    "C2": (-0.005, -5.581218505e-06),
    "C3": (-0.004551211076, -2.790609252e-05),
    "C6": (-0.004925005624, -1.648721271e-05),
    "C7": (-0.004925005624, -5.135766758e-06),
    "C9": (-0.04501660027, -0.0),
    "C10": (-0.04501660027, -0.01648721271),
    "C12": (-7.124576407e-219, -5.581218505e-06),
}


def slopes(value: Tensor, y: PairLogps, s: SampleLogps) -> tuple[float, ...]:
    """In log π of the chosen, the rejected and the sampled response."""
    return tuple(g.item() for g in torch.autograd.grad(value.sum(), [y.a, y.b, s.y]))


@pytest.mark.parametrize("name", COPO)
def test_copo_is_the_published_loss(name: str) -> None:
    """Baichenjia/COPO at 837fab4, executed in float64."""
    (pc, pr, py, rc, rr, ry), beta, alpha, novelty, (expected, count) = COPO[name]
    y, s = pair(pc, pr, rc, rr), sample(py, ry, novelty)
    loss, bonus = dpo(y, beta=beta), copo(s, alpha=alpha * CONSTANT)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert bonus.item() == pytest.approx(count, rel=1e-7)
    up, down, on_sample = slopes(loss + bonus, y, s)
    assert up == pytest.approx(SLOPES[name][0], rel=1e-9) == -down
    assert on_sample == pytest.approx(SLOPES[name][1], rel=1e-8)


@pytest.mark.parametrize(
    ("numbers", "beta", "alpha", "extra", "slope"),
    [
        ((-120, -135, -118.5, -121, -133, -119), 0.01, 1e-4, 5e-7, 1e-6),
        ((-20, -25, -18.5, -21, -24, -19), 0.1, 0.1, 0.005, 0.01),
    ],
)
def test_selm_is_the_published_loss(
    numbers: tuple[float, ...], beta: float, alpha: float, extra: float, slope: float
) -> None:
    """shenao-zhang/SELM at 0ba546a; it is online VPO inside its bound."""
    s = sample(numbers[2], numbers[5])
    value = selm(s, alpha=alpha, beta=beta)
    assert value.item() == pytest.approx(extra, rel=1e-9)
    (found,) = torch.autograd.grad(value.sum(), s.y)
    assert found.item() == pytest.approx(slope, rel=1e-9)
    assert vpo(s, alpha=alpha, beta=beta).item() == pytest.approx(extra, rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "p", "expected"),
    [
        (partial(dpo, beta=0.1), 1.0, (0.4740769842, 0.4736569842)),
        (partial(dpo, beta=0.1), 0.0, (0.9740769842, 0.9736569842)),
        (partial(ipo, beta=0.2), 1.0, (6.25, 6.24958)),
    ],
    ids=["X1 the policy wins", "X2 the reference wins", "X4 IPO"],
)
def test_xpo_is_trls_loss(loss: Any, p: float, expected: tuple[float, float]) -> None:
    y = pair(-30.0, -42.0, -33.0, -40.0)
    y = PairLogps(**{**vars(y), "p": torch.tensor([p])})
    alone, both = expected
    assert loss(y).item() == pytest.approx(alone, abs=1e-10)
    value = loss(y) + xpo(sample(-42.0, -40.0), alpha=1e-5)
    assert value.item() == pytest.approx(both, abs=1e-10)


def test_vpo_beside_a_mean_over_pairs() -> None:
    """Calibration log-ratios (−.8, .8, −.9), α = 1, β = .1: mean DPO .6764585073 ∓ .03."""
    rows = [(-10, -12, -11, -11.5), (-25.3, -24.1, -24.9, -24.8), (-8.2, -9.9, -8.0, -9.0)]
    plain = torch.cat([dpo(pair(*row)) for row in rows]).mean().item()
    assert plain == pytest.approx(0.6764585073, abs=1e-9)
    cal = [sample(ratio, 0.0) for ratio in (-0.8, 0.8, -0.9)]
    online = torch.cat([vpo(s, alpha=1.0, beta=0.1) for s in cal]).mean().item()
    offline = torch.cat([vpo(s, alpha=1.0, beta=0.1, mode="offline") for s in cal]).mean().item()
    assert plain + online == pytest.approx(0.6464585073, abs=1e-9)
    assert plain + offline == pytest.approx(0.7064585073, abs=1e-9)
    chosen = [sample(row[0] - row[2], 0.0) for row in rows]
    value = torch.cat([vpo(s, alpha=1.0, beta=0.1, mode="offline") for s in chosen]).mean()
    assert plain + value.item() == pytest.approx(0.6631251740, abs=1e-9)


@pytest.mark.parametrize(
    ("bonus", "message"),
    [
        (partial(copo, clip=0.5), r"clip must be at least 1.* got 0.5"),
        (partial(vpo, bound=0.0), r"bound must be positive, in units of reward, got 0"),
        (partial(selm, alpha=-1.0), r"alpha must be at least 0, got -1"),
    ],
)
def test_options_that_cannot_be_are_refused(bonus: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bonus(sample(-1.0, -1.0))


def test_copo_without_a_count_says_what_to_set() -> None:
    s = SampleLogps(**{**vars(sample(-1.0, -1.0)), "novelty": None})
    with pytest.raises(ValueError, match=r"needs drawn and novelty .*set explore.novelty"):
        copo(s)
