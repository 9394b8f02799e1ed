"""SAIL against the numbers of the specification, on four pairs (sail.md §10, V1–V7, V10, V12)."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps, detached
from prefloop.losses.sail import sail

MARGINS = (1.25, -1.0, 2.75, -3.125)
ON, OFF = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
DPO_W = (-0.01171977, -0.01312448, -0.01079200, -0.01443738)
"""∂ mean DPO loss / ∂ log π of the preferred, at β = 0.1"""


def four(on_policy: Tensor = OFF) -> PairLogps:
    """The specification's batch, the preferred response named `a`."""
    return PairLogps(
        a=torch.tensor([-12.5, -30.25, -8.0, -101.375]),
        b=torch.tensor([-14.0, -28.75, -11.5, -95.5]),
        ref_a=torch.tensor([-13.0, -30.0, -9.25, -100.0]),
        ref_b=torch.tensor([-13.25, -29.5, -10.0, -97.25]),
        p=torch.ones(4),
        len_a=torch.ones(4),
        len_b=torch.ones(4),
        on_policy=on_policy,
    )


def whole(y: PairLogps) -> PairLogps:
    return replace(y, whole=detached(y))


def one_by_one(y: PairLogps) -> list[PairLogps]:
    """Each row as a batch of its own, where the baseline is zero."""
    split = [
        replace(y, **{k: v[i : i + 1] for k, v in vars(y).items() if isinstance(v, Tensor)})
        for i in range(len(y.a))
    ]
    return [whole(row) for row in split]


def slopes(loss, y: PairLogps) -> tuple[Tensor, Tensor]:
    """∂ mean loss / ∂ log π of a and of b."""
    y = replace(y, a=y.a.clone().requires_grad_(), b=y.b.clone().requires_grad_())
    found: tuple[Tensor, Tensor] = torch.autograd.grad(loss(y).mean(), (y.a, y.b))
    return found


def alone(**options: float):
    """SAIL with b = 0: each row knows of no other."""
    return lambda y: torch.cat([sail(row, **options) for row in one_by_one(y)])


def close(found: Tensor, expected) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=1e-8)


def drawn(y: PairLogps, beta: float, wins: Tensor, extra: Tensor) -> Tensor:
    """−F − ½cF² on drawn labels: `wins` is −1 where the draw fell to b."""
    fit = logsigmoid(wins * beta * y.margin)
    return -fit - extra * fit**2 / 2


def test_offline_with_an_oracle_it_is_dpo():
    """V2."""
    y = whole(four())
    close(y.margin, MARGINS)
    close(sail(y), [0.63259904, 0.74439666, 0.56507067, 0.86155486])
    up, down = slopes(sail, y)
    close(up, DPO_W)
    close(down, [-x for x in DPO_W])


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.1, [0.46879063, 0.52497919, 0.43168002, 0.57749537]),
        (0.5, [0.34864514, 0.62245933, 0.20181322, 0.82671179]),
    ],
)
def test_the_policy_prefers_b_as_often_as_the_specification_switches(beta, expected):
    """V1; and H is −E F over such switches."""
    y = whole(four())
    switch = torch.sigmoid(-beta * y.margin)
    close(switch, expected)
    fit = logsigmoid(beta * y.margin), logsigmoid(-beta * y.margin)
    entropy = -(1 - switch) * fit[0] - switch * fit[1]
    close(sail(y, beta=beta, own_offline=1.0, rho=0.5), 0.5 * entropy)


def test_the_published_surrogates_have_the_published_values():
    """V3, V6 and V7: what `sail` is compared with below is what the specification means."""
    y, one = four(), torch.ones(4)
    dp = drawn(y, 0.1, one, torch.tensor([0.2, 0.2, 0.0, 0.0]))
    close(dp, [0.59258088, 0.68898402, 0.56507067, 0.86155486])
    pp = drawn(y, 0.1, one, torch.tensor([0.0, 0.2, 0.2, 0.0]))
    close(pp, [0.63259904, 0.68898402, 0.53314018, 0.86155486])
    wins = torch.tensor([-1.0, 1.0, 1.0, 1.0])
    mix = drawn(y, 0.5, wins, torch.tensor([0.4, 0.2, 0.0, 0.0]))
    close(mix, [0.83164365, 0.87919439, 0.22541265, 1.75279914])


def test_over_the_switches_the_published_dp_is_ours():
    """V3 and V4: a switched pair has −βh for βh; its share is that of V1."""
    y, one, rho = four(), torch.ones(4), torch.full((4,), 0.2)
    kept, _ = slopes(lambda y: drawn(y, 0.1, one, rho), y)
    close(kept[:2], [-0.01023698, -0.01117052])
    switched, _ = slopes(lambda y: drawn(y, 0.1, -one, rho), y)
    share = torch.sigmoid(-0.1 * y.margin)
    mine, other = slopes(lambda y: sail(y, own_offline=1.0, rho=0.2), whole(y))
    close(mine, (1 - share) * kept + share * switched)
    close(other, -mine)


def test_pr_without_a_baseline_pushes_as_the_specification_corrects_it():
    """V5, rows 0 and 3 being the policy's own samples."""
    y = four(torch.tensor([True, False, False, True]))
    up, down = slopes(alone(gamma=0.3), y)
    close(up, [0.03572516, -0.01312448, -0.01079200, 0.05017923])
    close(down, [0.05916469, 0.01312448, 0.01079200, 0.07905400])


def test_a_response_is_pushed_alike_however_likely_it_is():
    """V12: the published hook divides by log π, and reaches −104 where this stays."""
    found = []
    for logp in (-200.0, -20.0, -2.0, -0.2, -0.02, -0.002):
        one, logp = torch.ones(1), torch.tensor([logp])
        y = PairLogps(
            a=logp,
            b=-50 * one,
            ref_a=logp,
            ref_b=-50 * one,
            p=one,
            len_a=one,
            len_b=one,
            on_policy=ON[:1],
        )
        found.append(slopes(sail, whole(y))[0])
    close(torch.cat(found), [-0.05 + 0.3 * 0.6931471806] * 6)


@pytest.mark.parametrize("size", [4, 16])
def test_the_sum_over_identical_pairs_does_not_grow_with_their_number(size):
    """V12: the main part is −0.0450166 for every B; identical pairs have nothing to tell apart."""
    one = torch.ones(size)
    y = PairLogps(
        a=-120 * one,
        b=-130 * one,
        ref_a=-121 * one,
        ref_b=-129 * one,
        p=one,
        len_a=one,
        len_b=one,
        on_policy=torch.ones(size, dtype=torch.bool),
    )
    close(slopes(sail, whole(y))[0].sum(), -0.04501660)


@pytest.mark.parametrize(
    ("z", "entropy"),
    [(0.0, 0.6931471806), (0.5, 0.6628473186), (1.0, 0.5822031089), (2.0, 0.3653338551)],
)
def test_the_entropy_of_its_own_answers(z, entropy):
    """V10."""
    y = replace(four(), a=four().ref_a + z, b=four().ref_b)
    close(sail(whole(y), beta=1.0, own_offline=1.0, rho=1.0), [entropy] * 4)


def test_one_pair_of_the_toy_descends_its_entropy():
    """V10: p = 0.5744425168, H = 0.6820224894, at ρ = 0.2 a slope of −0.0073337494."""
    theta = torch.tensor([0.2, -0.1, 0.4]).requires_grad_()
    logp, ref = theta.log_softmax(0), torch.tensor([0.0, 0.3, -0.2]).log_softmax(0)
    row = [v[:1] for v in (logp, logp[1:], ref, ref[1:])]
    y = replace(one_by_one(four())[0], a=row[0], b=row[1], ref_a=row[2], ref_b=row[3])
    assert torch.sigmoid(0.5 * y.margin).item() == pytest.approx(0.5744425168, abs=1e-10)
    loss = sail(whole(y), beta=0.5, own_offline=1.0, rho=0.2)
    assert loss.item() == pytest.approx(0.2 * 0.6820224894, abs=1e-10)
    (found,) = torch.autograd.grad(loss.sum(), theta)
    close(found, [-0.0073337494, 0.0073337494, 0.0])


@pytest.mark.parametrize("h", [-1e4, -60.0, 60.0, 1e4])
def test_in_the_tails_its_own_answers_are_flat_where_the_published_loss_has_no_floor(h):
    y = whole(replace(four(), a=four().ref_a + h, b=four().ref_b))
    value = sail(y, own_offline=1.0, rho=1.0)
    assert (value >= 0).all()
    assert (slopes(lambda y: sail(y, own_offline=1.0, rho=1.0), y)[0].abs() < 5e-3).all()
    assert (drawn(y, 0.1, torch.ones(4), torch.ones(4)) < -5 if h < 0 else ON).all()


def test_its_own_answers_never_push_harder_than_a_quarter_of_beta():
    h = torch.linspace(-200, 200, 4001)
    zero, one = torch.zeros_like(h), torch.ones_like(h)
    y = PairLogps(
        a=h,
        b=zero,
        ref_a=zero,
        ref_b=zero,
        p=one,
        len_a=one,
        len_b=one,
        on_policy=torch.zeros(4001, dtype=torch.bool),
    )
    push, _ = slopes(lambda y: 4001 * sail(y, own_offline=1.0, rho=1.0), whole(y))
    assert push.abs().max() < 0.1 / 4
