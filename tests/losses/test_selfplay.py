"""Losses that step towards the Nash policy: their steps, and where the steps end."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log2

import pytest
import torch
from torch import Tensor

from prefloop.losses.inpo import inpo
from prefloop.losses.ipo import ipo
from prefloop.losses.online_ipo import online_ipo
from prefloop.losses.sppo import sppo
from prefloop.losses.sppo_hard import sppo_hard
from prefloop.theory import games
from worlds import Bandit, pairs, tilt

PRIOR = torch.tensor((0.4, 0.3, 0.2, 0.1), dtype=torch.float64)
POLICY = PRIOR.flip(0)
CYCLE = torch.tensor(
    ((0.5, 0.7, 0.2, 0.6), (0.3, 0.5, 0.8, 0.55), (0.8, 0.2, 0.5, 0.4), (0.4, 0.45, 0.6, 0.5)),
    dtype=torch.float64,
)
"""the guidebook's world (§14.6): preferences that go round, and a policy that is not the prior"""
FIRST, SECOND = torch.cartesian_prod(*[torch.arange(4)] * 2).T


def mixed(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Their geometric mixture."""
    return (share * one.log() + (1 - share) * other.log()).softmax(0)


def drawn_from(law: Tensor, loss: Callable) -> Callable:
    """The loss averaged over pairs of independent samples of the law."""
    return lambda y: 16 * law[FIRST] * law[SECOND] * loss(y)


def began_at(law: Tensor, loss: Callable) -> Callable:
    """The loss, told what the policy was as the round began and how often each response wins."""
    win = CYCLE @ law
    known = {
        "prev_a": law.log()[FIRST],
        "prev_b": law.log()[SECOND],
        "win_a": win[FIRST],
        "win_b": win[SECOND],
    }
    return lambda y: loss(replace(y, **known))


def step(law: Tensor, loss: Callable, prior: Tensor = PRIOR) -> Tensor:
    """The minimiser over pairs that the law drew."""
    return Bandit(prior, CYCLE).fit(drawn_from(law, began_at(law, loss)))


class TestInpo:
    def test_its_step_is_the_closed_form_of_the_guidebook(self):
        """arXiv:2407.00617: π_ref^(τ/η) π_t^(1−τ/η) exp(P(y ≻ π_t)/η), at η = 0.5, τ = 0.1."""
        found = step(POLICY, partial(inpo, eta=0.5, tau=0.1))
        expected = torch.tensor([0.13777425, 0.27660702, 0.25617911, 0.32943962])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)

    @pytest.mark.parametrize(("eta", "tau"), [(0.5, 0.1), (0.3, 0.3), (1.0, 0.0), (0.2, 0.15)])
    def test_its_step_is_a_tilt_of_a_mixture(self, eta, tau):
        found = step(POLICY, partial(inpo, eta=eta, tau=tau))
        expected = tilt(mixed(PRIOR, POLICY, tau / eta), CYCLE @ POLICY, eta)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)

    def test_its_steps_end_at_the_nash_policy_of_the_game_with_weight_tau(self):
        policy, tau = POLICY, 0.3
        for _ in range(25):
            policy = step(policy, partial(inpo, eta=0.8, tau=tau))
        nash = games.nash(PRIOR.log(), CYCLE, tau).exp()
        torch.testing.assert_close(policy, nash, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("eta", [0.0075, 0.4])
    def test_at_tau_equal_eta_it_is_ipo(self, eta):
        y = pairs()
        torch.testing.assert_close(inpo(y, eta=eta, tau=eta), ipo(y, beta=eta))

    def test_at_tau_zero_the_reference_does_not_matter(self):
        y = pairs()
        moved = replace(y, ref_a=y.ref_a - 5)
        torch.testing.assert_close(inpo(moved, tau=0.0), inpo(y, tau=0.0))
        assert not torch.isclose(inpo(moved), inpo(y)).any()

    def test_it_is_no_sppo(self):
        """A public "INPO trainer" computes SPPO's loss: another step, for τ > 0."""
        ours = step(POLICY, partial(inpo, eta=0.5, tau=0.3))
        theirs = step(POLICY, partial(sppo, beta=0.5), prior=POLICY)
        assert (ours - theirs).abs().max() > 0.05

    @pytest.mark.parametrize("options", [{"tau": 1.0}, {"eta": -1.0, "tau": -2.0}, {"eta": 0.0}])
    def test_a_mixture_that_is_none_is_refused(self, options):
        with pytest.raises(ValueError, match="0 ≤ tau ≤ eta and eta > 0, got tau="):
            inpo(pairs(), **options)

    def test_it_asks_for_the_policy_as_the_round_began(self):
        with pytest.raises(ValueError, match="inpo needs prev_a and prev_b"):
            inpo(replace(pairs(), prev_b=None))


class TestSppo:
    @pytest.mark.parametrize(("win_a", "win_b"), [(0.5, 0.5), (0.9, 0.2), (0.0, 1.0)])
    def test_each_log_ratio_rests_at_its_own_win_rate(self, win_a, win_b):
        """arXiv:2405.00675, eq. 4.7: d = (P − ½)/β, whatever the pair's own answer."""
        y, beta = pairs(), 0.2
        rest = replace(
            y,
            a=y.ref_a + (win_a - 0.5) / beta,
            b=y.ref_b + (win_b - 0.5) / beta,
            win_a=torch.full_like(y.a, win_a),
            win_b=torch.full_like(y.a, win_b),
        )
        torch.testing.assert_close(sppo(rest, beta=beta), torch.zeros(32))
        nearby = replace(rest, a=rest.a + 0.1, b=rest.b - 0.2)
        torch.testing.assert_close(sppo(nearby, beta=beta), torch.full((32,), 0.025))
        torch.testing.assert_close(sppo(replace(y, p=1 - y.p)), sppo(y))

    def test_at_the_reference_even_rates_cost_nothing_and_certain_ones_25(self):
        y = pairs()
        y = replace(y, a=y.ref_a, b=y.ref_b)
        even, sure = torch.full_like(y.a, 0.5), torch.ones_like(y.a)
        torch.testing.assert_close(sppo(replace(y, win_a=even, win_b=even)), torch.zeros(32))
        found = sppo(replace(y, win_a=sure, win_b=1 - sure))
        torch.testing.assert_close(found, torch.full((32,), 25.0))

    def test_twice_it_with_answers_for_rates_is_sppo_hard(self):
        y = replace(pairs(), p=pairs().p.round())
        y = replace(y, win_a=y.p, win_b=1 - y.p)
        torch.testing.assert_close(2 * sppo(y), sppo_hard(y))

    def test_the_closed_form_of_the_guidebook_leaves_one_miss_for_all(self):
        """π_t exp(ηP)/Z misses each target by 1/(2β) − log Z: it is the step, were Z exp(1/2β)."""
        beta, win = 0.5, CYCLE @ POLICY
        closed = tilt(POLICY, win, beta)
        expected = torch.tensor([0.09740124, 0.23793228, 0.25916145, 0.40550503])
        torch.testing.assert_close(closed, expected, rtol=0, atol=1e-8)
        miss = (closed / POLICY).log() - (win - 0.5) / beta
        z = (POLICY * (win / beta).exp()).sum()
        torch.testing.assert_close(miss, (1 / (2 * beta) - z.log()).expand(4))

    def test_its_step_is_the_closed_form_up_to_the_cube_of_its_size(self):
        def miss(beta: float) -> float:
            found = step(POLICY, partial(sppo, beta=beta), prior=POLICY)
            return float((found - tilt(POLICY, CYCLE @ POLICY, beta)).abs().max())

        misses = [miss(beta) for beta in (0.5, 1.0, 2.0)]
        rates = [log2(one / two) for one, two in pairwise(misses)]
        assert rates == pytest.approx([3, 3], abs=0.2)

    def test_it_asks_for_the_win_rates(self):
        with pytest.raises(ValueError, match="sppo needs the win rates win_a and win_b"):
            sppo(replace(pairs(), win_a=None))


class TestOnlineIpo:
    @pytest.mark.parametrize("beta", [0.1, 0.7])
    def test_it_is_ipo_less_what_no_policy_can_change(self, beta):
        y = pairs()
        certainty = y.p * (1 - y.p) / beta**2
        torch.testing.assert_close(online_ipo(y, beta=beta), ipo(y, beta=beta) - certainty)
        found, expected = (
            torch.autograd.grad(loss(replace(y, a=leaf), beta=beta).sum(), leaf)[0]
            for loss in (online_ipo, ipo)
            for leaf in [y.a.clone().requires_grad_()]
        )
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
    def test_it_is_zero_where_the_margin_is_right(self, p):
        y = pairs()
        y = replace(y, a=y.b + y.ref_a - y.ref_b + (p - 0.5) / 0.1, p=torch.full_like(y.a, p))
        torch.testing.assert_close(online_ipo(y), torch.zeros(32))

    @pytest.mark.parametrize("beta", [0.1, 0.3, 1.0])
    def test_on_own_samples_it_is_at_rest_at_the_nash_policy(self, beta):
        """arXiv:2403.08635: π ∝ π_ref exp(P(y ≻ π)/β), which need not maximise any reward."""

        def slope(policy: Tensor) -> Tensor:
            logits = policy.log().clone().requires_grad_()
            y = Bandit(PRIOR, CYCLE).pairs(logits.log_softmax(0))
            value = drawn_from(policy, partial(online_ipo, beta=beta))(y).mean()
            return torch.autograd.grad(value, logits)[0]

        nash = games.nash(PRIOR.log(), CYCLE, beta).exp()
        torch.testing.assert_close(slope(nash), torch.zeros(4), rtol=0, atol=1e-10)
        assert slope(PRIOR).abs().max() > 1e-3 and slope(POLICY).abs().max() > 1e-3

    def test_following_it_on_own_samples_ends_at_the_nash_policy_and_not_at_ipos(self):
        logits, beta = PRIOR.log().clone(), 0.3
        for _ in range(600):
            logits.requires_grad_()
            law = logits.detach().softmax(0)
            y = Bandit(PRIOR, CYCLE).pairs(logits.log_softmax(0))
            value = drawn_from(law, partial(online_ipo, beta=beta))(y).mean()
            (slope,) = torch.autograd.grad(value, logits)
            logits = (logits - slope).detach()
        nash = games.nash(PRIOR.log(), CYCLE, beta).exp()
        torch.testing.assert_close(logits.softmax(0), nash, rtol=0, atol=1e-6)
        offline = Bandit(PRIOR, CYCLE).fit(drawn_from(PRIOR, partial(ipo, beta=beta)))
        assert (offline - nash).abs().max() > 0.01
