"""SAIL on one prompt with three responses, where every expectation can be summed out."""

from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps, detached
from prefloop.losses.dpo import dpo
from prefloop.losses.sail import sail
from worlds import pairs

THETA, REFERENCE, REWARD = torch.tensor(
    [[0.2, -0.1, 0.4], [0.0, 0.3, -0.2], [1.0, 0.0, -0.5]], dtype=torch.float64
)
BETA = 0.5
FIRST, SECOND = torch.cartesian_prod(torch.arange(3), torch.arange(3)).T

ORACLE = (0.0741888324, 0.0169765408, -0.0911653732)
T1, T2 = (0.0098248843, 0.0049434344, -0.0147683187), (0.0643639481, 0.0120331064, -0.0763970545)
OWN = (-0.0038580413, -0.0149387039, 0.0187967452)
OWN_T1, T3 = (
    (-0.0031590207, 0.0033694838, -0.0002104632),
    (-0.0006990206, -0.0183081877, 0.0190072084),
)
"""what the specification gives for this world: ∇ E F, ∇ −E H, and the parts of each"""


def every_pair(theta: Tensor, on_policy: bool = True) -> PairLogps:
    """All nine pairs under softmax(theta), with the oracle's answers."""
    logp, ref, one = theta.log_softmax(0), REFERENCE.log_softmax(0), torch.ones(9)
    return PairLogps(
        a=logp[FIRST],
        b=logp[SECOND],
        ref_a=ref[FIRST],
        ref_b=ref[SECOND],
        p=torch.sigmoid(REWARD[FIRST] - REWARD[SECOND]),
        len_a=one,
        len_b=one,
        on_policy=torch.full((9,), on_policy),
    )


def rows(y: PairLogps, places: list[int]) -> PairLogps:
    """These rows as a batch that is all there is."""
    kept = {k: v[places] for k, v in vars(y).items() if isinstance(v, Tensor)}
    batch = replace(y, **kept)
    return replace(batch, whole=detached(batch))


def expected(loss, size: int = 1, theta: Tensor = THETA, **kind: bool) -> Tensor:
    """The mean gradient over all batches of so many pairs drawn from π × π."""
    theta = theta.clone().requires_grad_()
    y, total = every_pair(theta, **kind), torch.zeros(())
    law = (y.a + y.b).exp().detach()
    for places in product(range(9), repeat=size):
        total = total + law[list(places)].prod() * loss(rows(y, list(places))).mean()
    return torch.autograd.grad(total, theta)[0]


def objective(theta: Tensor, own: bool = False) -> Tensor:
    """E F over π × π; under the policy's own answers, −E H."""
    y = every_pair(theta)
    p = torch.sigmoid(BETA * y.margin) if own else y.p
    return ((y.a + y.b).exp() * -dpo(replace(y, p=p), beta=BETA)).sum()


def slope_of(objective, theta: Tensor = THETA) -> Tensor:
    theta = theta.clone().requires_grad_()
    return torch.autograd.grad(objective(theta), theta)[0]


def close(found: Tensor, expected, tolerance: float = 1e-9) -> None:
    expected = torch.as_tensor(expected, dtype=found.dtype)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


PR, PP = partial(sail, beta=BETA), partial(sail, beta=BETA, own_online=1.0)
DP = partial(sail, beta=BETA, own_offline=1.0)


def test_the_world_is_that_of_the_specification():
    assert objective(THETA).item() == pytest.approx(-0.7214134763, abs=1e-10)
    assert objective(THETA, own=True).item() == pytest.approx(-0.6836347906, abs=1e-10)
    close(slope_of(objective), ORACLE)
    close(slope_of(partial(objective, own=True)), OWN)


@pytest.mark.parametrize("size", [1, 2])
def test_with_an_oracle_it_ascends_the_agreement_and_its_law_of_pairs(size):
    """The baseline of the other rows, none of them at size 1, leaves the mean alone."""
    close(expected(partial(PR, gamma=1.0), size), [-x for x in ORACLE])
    close(expected(partial(PR, gamma=0.0), size), [-x for x in T2])
    found = expected(partial(PR, gamma=0.3), size)
    close(found, [-x - 0.3 * t for x, t in zip(T2, T1, strict=True)])


@pytest.mark.parametrize("size", [1, 2])
def test_under_its_own_answers_it_descends_its_own_entropy(size):
    close(expected(partial(PP, pi=1.0), size), [-x for x in OWN])
    close(expected(partial(PP, pi=0.2), size), [-0.2 * x for x in OWN])


def test_on_given_pairs_only_the_label_law_is_descended():
    close(expected(partial(DP, rho=1.0), on_policy=False), [-x for x in T3])
    own_law = expected(partial(PP, pi=1.0)) - expected(partial(DP, rho=1.0), on_policy=False)
    close(own_law, [-x for x in OWN_T1])


def test_dpo_on_its_own_answers_has_no_gradient_so_none_is_computed():
    def answered(y: PairLogps) -> Tensor:
        return dpo(replace(y, p=torch.sigmoid(BETA * y.margin).detach()), beta=BETA)

    close(expected(answered), [0.0] * 3, 1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_anywhere_it_is_the_gradient_of_the_objective(seed):
    theta = 3 * torch.randn(3, generator=torch.Generator().manual_seed(seed))
    found = expected(partial(PR, gamma=1.0), theta=theta)
    close(found, -slope_of(objective, theta))
    found = expected(partial(PP, pi=1.0), theta=theta)
    close(found, -slope_of(partial(objective, own=True), theta))


def with_its_own_mean(y: PairLogps) -> Tensor:
    """The score term with a baseline that the row itself is part of."""
    fit = -dpo(y, beta=BETA).detach()
    return -(fit - fit.mean()) * (y.a + y.b)


def test_a_mean_that_includes_the_row_itself_scales_the_score_term():
    """By 1 − 1/B: a half at B = 2."""
    close(expected(with_its_own_mean, 2), [-0.5 * t for t in T1])


def test_the_mean_of_the_others_takes_variance_away():
    """Per coordinate, over all batches of two pairs; without it 0.48, 0.44, 0.48 a pair."""

    def spread(loss, size: int) -> Tensor:
        theta = THETA.clone().requires_grad_()
        y = every_pair(theta)
        law = (y.a + y.b).exp().detach()
        mean, square = torch.zeros(3), torch.zeros(3)
        for places in map(list, product(range(9), repeat=size)):
            value = loss(rows(y, places)).mean()
            (g,) = torch.autograd.grad(value, theta, retain_graph=True)
            mean, square = mean + law[places].prod() * g, square + law[places].prod() * g**2
        return (square - mean**2).sqrt()

    def score_term(y: PairLogps) -> Tensor:
        return PR(y, gamma=1.0) - PR(y, gamma=0.0)

    def alone(y: PairLogps) -> Tensor:
        return torch.cat([score_term(rows(y, [i])) for i in range(len(y.a))])

    close(spread(score_term, 1), [0.48, 0.44, 0.48], 0.01)
    assert (spread(score_term, 2) < 0.4 * spread(alone, 2)).all()


def test_pairs_that_share_a_response_do_not_leave_the_mean_alone():
    """(y, y') and (y, y"): the other row then knows of y. One pair a prompt keeps rows apart."""
    theta = THETA.clone().requires_grad_()
    y, logp = every_pair(theta), theta.log_softmax(0)
    total = torch.zeros(())
    for first, second, third in product(range(3), repeat=3):
        law = logp[[first, second, third]].sum().exp().detach()
        places = [3 * first + second, 3 * first + third]
        total = total + law * PR(rows(y, places), gamma=1.0).mean()
    (found,) = torch.autograd.grad(total, theta)
    assert (found + torch.tensor(ORACLE)).abs().max() > 1e-3


MIXTURE = {"gamma": 0.3, "own_online": 0.6, "pi": 0.2, "own_offline": 0.4, "rho": 0.5}


def drawn(y: PairLogps, route: str, wins: Tensor) -> Tensor:
    """The published surrogate with b = 0, on a drawn label: `wins` is +1 where a is preferred."""
    fit = logsigmoid(wins * BETA * y.margin)
    score = y.a + y.b
    extra = {
        "offline": 0.0,
        "DP": -0.5 * MIXTURE["rho"] * fit**2,
        "PR": -MIXTURE["gamma"] * fit.detach() * score,
        "PP": -0.5 * MIXTURE["pi"] * fit**2 - MIXTURE["pi"] * fit.detach() * score,
    }
    return -fit + extra[route]


@pytest.mark.parametrize("on_policy", [True, False])
def test_it_is_the_average_over_drawn_routes_and_drawn_labels(on_policy):
    theta = THETA.clone().requires_grad_()
    y = every_pair(theta, on_policy=on_policy)
    names = ("PP", "PR") if on_policy else ("DP", "offline")
    own = MIXTURE["own_online" if on_policy else "own_offline"]
    total = torch.zeros(9)
    for route, share in zip(names, (own, 1 - own), strict=True):
        p = torch.sigmoid(BETA * y.margin).detach() if route in ("PP", "DP") else y.p
        total = total + share * (p * drawn(y, route, 1.0) + (1 - p) * drawn(y, route, -1.0))
    mine = torch.cat([sail(rows(y, [i]), beta=BETA, **MIXTURE) for i in range(9)])
    for found, twin in zip(mine, total, strict=True):
        (left,) = torch.autograd.grad(found, theta, retain_graph=True)
        (right,) = torch.autograd.grad(twin, theta, retain_graph=True)
        close(left, right, 1e-12)


def gradient(y: PairLogps, **options: float) -> tuple[Tensor, ...]:
    """Of the sum, in log π(a) and log π(b)."""
    y = replace(y, a=y.a.clone().requires_grad_(), b=y.b.clone().requires_grad_())
    return torch.autograd.grad(sail(y, **options).sum(), (y.a, y.b))


def test_the_score_term_pushes_by_how_much_a_row_differs_from_the_others():
    """A plain loop over the rows that are on-policy; the others are not pushed."""
    y = pairs()
    fit = -dpo(y)
    with_it, without = gradient(y, gamma=0.7), gradient(y, gamma=0.0)
    for i in range(32):
        others = [fit[j] for j in range(32) if j != i and y.on_policy[j]]
        push = 0.7 * (fit[i] - sum(others) / len(others)) if y.on_policy[i] else torch.zeros(())
        for one, other in zip(with_it, without, strict=True):
            close(one[i] - other[i], -push, 1e-12)


@pytest.mark.parametrize("cut", [1, 7, 31])
def test_cutting_the_batch_changes_no_gradient(cut):
    y = pairs()
    parts = [
        replace(y, **{k: v[s] for k, v in vars(y).items() if isinstance(v, Tensor)})
        for s in (slice(None, cut), slice(cut, None))
    ]
    found = [torch.cat(side) for side in zip(*(gradient(p, **MIXTURE) for p in parts), strict=True)]
    for cuts, whole in zip(found, gradient(y, **MIXTURE), strict=True):
        close(cuts, whole, 1e-12)


def test_the_baseline_is_taken_over_the_rows_it_applies_to():
    """Other pairs of a file change nothing for the policy's own."""
    y = pairs()
    own = [i for i in range(32) if y.on_policy[i]]
    alone, among = gradient(rows(y, own), **MIXTURE), gradient(y, **MIXTURE)
    for found, expected in zip(alone, among, strict=True):
        close(found, expected[own], 1e-12)


def test_naming_pairs_the_other_way_round_swaps_the_gradient():
    y = pairs()
    one, other = gradient(y, **MIXTURE), gradient(y.swap(), **MIXTURE)
    close(one[0], other[1], 1e-12)
    close(one[1], other[0], 1e-12)


def test_its_value_is_that_of_dpo_and_the_entropy():
    y = pairs()
    torch.testing.assert_close(sail(y, gamma=5.0), dpo(y))
    z = 0.1 * y.margin
    entropy = torch.distributions.Bernoulli(logits=z).entropy()
    torch.testing.assert_close(
        sail(y, own_online=1.0, pi=0.2, own_offline=1.0, rho=0.5),
        torch.where(y.on_policy, 0.2, 0.5) * entropy,
    )


def test_what_it_becomes_when_switched_off_is_dpo():
    y = pairs()
    expected = replace(y, a=y.a.requires_grad_())
    torch.testing.assert_close(sail(expected, gamma=0.0), dpo(expected))
    offline = replace(y, on_policy=torch.zeros(32, dtype=torch.bool))
    for found, wanted in zip(gradient(offline), gradient(y, gamma=0.0), strict=True):
        close(found, wanted, 1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"own_online": 1.5, "pi": 0.2}, "own_online is a share of pairs, from 0 to 1, got 1.5"),
        ({"own_offline": -0.1}, "own_offline is a share"),
        ({"pi": 0.2}, "own_online and pi do nothing without each other, got own_online=0.0"),
        ({"own_offline": 0.4}, "got own_offline=0.4 and rho=0.0; set both or neither"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sail(pairs(), **options)


def test_what_it_cannot_do_without_is_asked_for():
    y = pairs()
    for lacking in (
        replace(y, whole=None),
        replace(y, on_policy=None),
        replace(y, whole=replace(y.whole, on_policy=None)),
    ):
        with pytest.raises(ValueError, match="sail needs on_policy, and the whole"):
            sail(lacking)


def test_an_empty_response_is_refused():
    y = pairs()
    with pytest.raises(ValueError, match="at least 1 token, EOS included, got an empty one"):
        sail(replace(y, len_b=y.len_b - y.len_b.min()))
