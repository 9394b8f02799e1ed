"""exo, nca, apo_zero, apo_down, discopop, f_dpo: numbers, places of rest, and TRL's own code."""

from dataclasses import replace
from functools import partial
from math import e, exp, log
from types import SimpleNamespace

import pytest
import test_family_trl_twin as family
import test_trl_twin as twin
import torch
from test_values import batch

from prefloop import plugins
from prefloop.batches import PointLogps
from prefloop.losses.apo_down import apo_down
from prefloop.losses.apo_zero import apo_zero
from prefloop.losses.cdpo import cdpo
from prefloop.losses.discopop import discopop
from prefloop.losses.dpo import dpo
from prefloop.losses.exo import exo
from prefloop.losses.f_dpo import f_dpo
from prefloop.losses.kto import kto
from prefloop.losses.nca import nca
from worlds import Bandit, margins, pairs, tilt

world, told = twin.world, family.told
PRIOR = torch.tensor((0.4, 0.3, 0.2, 0.1), dtype=torch.float64)
REWARD = torch.tensor((0.2, 1.0, -0.5, 0.7), dtype=torch.float64)

NUMBERS = {
    "exo": (exo, [2.43364493, 2.89137432, 3.11919310]),
    "nca": (nca, [1.33998218, 1.40839992, 1.44182014]),
    "apo_zero": (apo_zero, [0.95179246, 1.01870777, 1.05092840]),
    "apo_down": (apo_down, [0.97089008, 0.98628691, 1.06231937]),
    "discopop": (discopop, [0.81987691, 0.79456679, 0.80784633]),
    "forward_kl": (partial(f_dpo, divergence="forward_kl"), [0.56488394, 0.79462740, 0.72131007]),
    "js": (f_dpo, [0.64171045, 0.72028141, 0.71407974]),
    "alpha": (partial(f_dpo, divergence="alpha"), [0.58819461, 0.75484119, 0.74565853]),
}
AT_REFERENCE = {
    "exo": 2.76123071,
    "nca": 1.38629436,
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "discopop": 0.84657359,
    "forward_kl": log(2),
    "js": log(2),
    "alpha": log(2),
}


@pytest.mark.parametrize(("loss", "expected"), NUMBERS.values(), ids=NUMBERS)
def test_the_numbers_of_the_guidebook(loss, expected):
    torch.testing.assert_close(loss(batch()), torch.tensor(expected), rtol=0, atol=1e-8)
    torch.testing.assert_close(loss(batch().swap()), torch.tensor(expected), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NUMBERS)
def test_at_the_reference_a_loss_has_one_value_whatever_the_data(name):
    y = batch()
    found = NUMBERS[name][0](replace(y, a=y.ref_a, b=y.ref_b))
    torch.testing.assert_close(found, torch.full((3,), AT_REFERENCE[name]), rtol=0, atol=1e-8)


TRL = {
    "exo_pair": partial(exo, label_smoothing=0.01),
    "nca_pair": nca,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
    "discopop": partial(discopop, tau=0.2),
}


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("kind", TRL)
def test_trl_computes_the_same(world, told, kind, beta):
    told(label_smoothing=0.01, args=SimpleNamespace(discopop_tau=0.2))
    mine = TRL[kind](twin.ours(world), beta=beta).mean()
    family.same_value_and_gradient(mine, twin.trl_loss(world, kind, beta), world.tokens)


@pytest.mark.parametrize("alpha", [0.5, 0.2])
@pytest.mark.parametrize("divergence", ["forward_kl", "js", "alpha"])
def test_trl_computes_the_same_under_a_divergence(world, told, divergence, alpha):
    """In single precision: TRL's α-divergence knows no other."""
    world.tokens = (world.tokens / 8).detach().float().requires_grad_()
    world.ref = (world.ref / 8).float()
    named = {"js": "js_divergence", "alpha": "alpha_divergence"}.get(divergence, divergence)
    told(f_divergence_type=named, f_alpha_divergence_coef=alpha)
    own = {"alpha": alpha} if divergence == "alpha" else {}
    mine = f_dpo(twin.ours(world), beta=0.3, divergence=divergence, **own).mean()
    theirs = twin.trl_loss(world, "sigmoid", 0.3)
    torch.testing.assert_close(mine, theirs, check_dtype=False)
    (expected,) = torch.autograd.grad(theirs, world.tokens, retain_graph=True)
    (found,) = torch.autograd.grad(mine, world.tokens)
    torch.testing.assert_close(found, expected)


def slope(loss, h: float, p: float) -> float:
    """∂ℓ/∂h where the first response moves."""
    at = torch.tensor([h]).requires_grad_()
    (found,) = torch.autograd.grad(loss(margins(at, torch.tensor([p]))).sum(), at)
    return found.item()


class TestExo:
    @pytest.mark.parametrize("epsilon", [1e-3, 0.2])
    @pytest.mark.parametrize("p", [0.0, 0.3, 0.9])
    def test_it_rests_where_cdpo_does(self, p, epsilon):
        smooth = p + epsilon * (1 - 2 * p)
        at = log(smooth / (1 - smooth)) / 0.5
        for loss in (exo, cdpo):
            found = slope(partial(loss, beta=0.5, label_smoothing=epsilon), at, p)
            assert found == pytest.approx(0, abs=1e-12)

    def test_it_is_the_divergence_from_the_policys_answer(self):
        y = pairs()
        p = y.p + 0.1 * (1 - 2 * y.p)
        mine = torch.distributions.Bernoulli(logits=0.1 * y.margin)
        expected = torch.distributions.kl_divergence(mine, torch.distributions.Bernoulli(p))
        torch.testing.assert_close(exo(y, label_smoothing=0.1), expected)

    def test_a_policy_that_is_sure_and_wrong_is_left_alone_where_dpo_pushes_hardest(self):
        assert abs(slope(exo, -300.0, 1.0)) < 1e-10
        assert slope(dpo, -300.0, 1.0) == pytest.approx(-0.1)

    def test_on_population_labels_it_finds_the_kl_regularised_optimum_of_smoothed_answers(self):
        epsilon = 0.05
        world = Bandit.bradley_terry(PRIOR, REWARD)
        found = world.fit(partial(exo, beta=0.5, label_smoothing=epsilon))
        noisy = replace(world, preference=epsilon + (1 - 2 * epsilon) * world.preference)
        assert (found - tilt(PRIOR, REWARD, 0.5)).abs().max() < 0.1
        assert (found - noisy.fit(partial(dpo, beta=0.5))).abs().max() < 0.01

    @pytest.mark.parametrize("epsilon", [0.0, 0.5, -0.1])
    def test_a_certain_or_an_empty_label_is_refused(self, epsilon):
        with pytest.raises(ValueError, match=r"label_smoothing must lie between 0, .* got"):
            exo(pairs(), label_smoothing=epsilon)


class TestNca:
    @pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
    def test_each_log_ratio_has_its_place(self, p):
        """arXiv:2402.05369: βd_a = log 2p, βd_b = log 2(1−p)."""
        y, beta = pairs(), 0.2
        y = replace(
            y,
            a=(y.ref_a + log(2 * p) / beta).requires_grad_(),
            b=(y.ref_b + log(2 * (1 - p)) / beta).requires_grad_(),
            p=torch.full_like(y.a, p),
        )
        for found in torch.autograd.grad(nca(y, beta=beta).sum(), (y.a, y.b)):
            torch.testing.assert_close(found, torch.zeros(32))
        torch.testing.assert_close(beta * y.margin, torch.full((32,), log(p / (1 - p))))

    def test_over_many_opponents_the_place_is_the_win_rate_against_them(self):
        world, beta = Bandit.bradley_terry(PRIOR, REWARD), 0.5
        d = (2 * world.preference.mean(1)).log() / beta
        policy = (PRIOR.log() + d).requires_grad_()
        (found,) = torch.autograd.grad(nca(world.pairs(policy), beta=beta).sum(), policy)
        torch.testing.assert_close(found, torch.zeros(4))


class TestApo:
    def test_apo_zero_is_kto_without_a_kl_on_both_responses(self):
        y = replace(pairs(), p=torch.ones(32))

        def half(logp: torch.Tensor, ref: torch.Tensor, good: bool) -> torch.Tensor:
            points = PointLogps(
                y=logp,
                ref=ref,
                desirable=torch.full((32,), good),
                length=y.len_a,
                mean_length=y.len_a.mean(),
                mismatch=torch.zeros(1),
            )
            return kto(points)

        expected = half(y.a, y.ref_a, True) + half(y.b, y.ref_b, False)
        torch.testing.assert_close(apo_zero(y), expected)

    def test_a_soft_label_scales_apo_zero(self):
        y = pairs()
        sure = replace(y, p=torch.ones(32))
        torch.testing.assert_close(apo_zero(y) - 1, (2 * y.p - 1) * (apo_zero(sure) - 1))

    def test_apo_down_lowers_both_once_the_margin_is_won(self):
        y = replace(margins([0.0], [1.0]), b=torch.tensor([-20.0]))
        y = replace(y, a=y.a.requires_grad_(), b=y.b.requires_grad_())
        down, further = torch.autograd.grad(apo_down(y).sum(), (y.a, y.b))
        assert down > 0 and further > 0
        at_reference = replace(y, b=torch.zeros(1).requires_grad_())
        rest, falls = torch.autograd.grad(
            apo_down(at_reference).sum(), (at_reference.a, at_reference.b)
        )
        assert rest.item() == pytest.approx(0, abs=1e-15) and falls > 0


class TestDiscopop:
    def test_away_from_zero_it_is_dpo_below_and_an_exponential_above(self):
        low = margins([-30.0], [1.0])
        torch.testing.assert_close(discopop(low), dpo(low))
        high = margins([30.0], [1.0])
        assert discopop(high).item() == pytest.approx(e**-3)

    def test_at_the_reference_it_pushes_the_wrong_way(self):
        """f'(0) = −¾ + (1 − log 2)/4τ."""
        found = slope(partial(discopop, beta=1.0), 0.0, 1.0)
        assert found == pytest.approx(-0.75 + (1 - log(2)) / 0.2) and found > 0

    def test_a_pair_that_begins_there_settles_below_the_reference(self):
        loss, h = partial(discopop, beta=1.0), 0.0
        for _ in range(500):
            h -= 0.01 * slope(loss, h, 1.0)
        assert h == pytest.approx(-0.12, abs=0.005)
        assert slope(loss, 0.06, 1.0) > 0 > slope(loss, 0.08, 1.0)

    @pytest.mark.parametrize("h", [-1e4, 1e4])
    def test_it_does_not_overflow(self, h):
        y = margins(torch.tensor([h], dtype=torch.float32), torch.tensor([1.0]).float())
        assert discopop(y, beta=1.0).isfinite().all()
        assert slope(partial(discopop, beta=1.0), h, 1.0) == pytest.approx(-1.0 if h < 0 else 0.0)

    def test_a_blend_of_no_width_is_refused(self):
        with pytest.raises(ValueError, match="must be positive, got 0"):
            discopop(pairs(), tau=0.0)


SLOPES = {
    "forward_kl": lambda u: -1 / u,
    "js": lambda u: (2 * u / (1 + u)).log(),
    "alpha": lambda u: (u**-0.7 - 1) / -0.7,
}
"""f', with α = 0.3"""
OWN = {"alpha": {"alpha": 0.3}}


class TestFDpo:
    @pytest.mark.parametrize("divergence", SLOPES)
    def test_it_finds_the_optimum_of_the_reward_less_its_divergence(self, divergence):
        """arXiv:2309.16240: f'(π/π_ref) = r/β + constant, where E r − β D_f has its maximum."""
        beta = 2.0
        loss = partial(f_dpo, divergence=divergence, beta=beta, **OWN.get(divergence, {}))
        found = Bandit.bradley_terry(PRIOR, REWARD).fit(loss)
        left = SLOPES[divergence](found / PRIOR) - REWARD / beta
        torch.testing.assert_close(left, left[:1].expand(4), rtol=0, atol=1e-6)
        assert (found - tilt(PRIOR, REWARD, beta)).abs().max() > 1e-3, "not DPO's"

    def test_as_alpha_nears_one_it_is_dpo_and_at_zero_the_forward_kl(self):
        y = pairs()
        found = f_dpo(y, divergence="alpha", alpha=1 - 1e-6)
        torch.testing.assert_close(found, dpo(y), rtol=1e-5, atol=1e-5)
        found = f_dpo(y, divergence="alpha", alpha=0.0)
        torch.testing.assert_close(found, f_dpo(y, divergence="forward_kl"))

    def test_near_the_reference_all_are_dpo_at_their_own_strength(self):
        """f''(1) is 1 but for Jensen–Shannon, where it is ½."""
        y = pairs(spread=1e-3)
        for divergence, strength in (("forward_kl", 1.0), ("alpha", 1.0), ("js", 0.5)):
            gap = f_dpo(y, divergence=divergence) - dpo(y, beta=0.1 * strength)
            assert gap.abs().max() < 1e-6

    def test_what_is_far_below_the_reference_is_held(self):
        y = margins([-300.0, -60.0], [1.0, 1.0])
        found = f_dpo(y, divergence="forward_kl", beta=1.0)
        torch.testing.assert_close(found, torch.full((2,), exp(50)))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"alpha": 0.3}, "divergence=js has no alpha, got 0.3; leave it out"),
            ({"divergence": "alpha", "alpha": 1.0}, "alpha must be below 1, where it is dpo"),
        ],
    )
    def test_an_alpha_that_means_nothing_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            f_dpo(pairs(), **options)

    def test_an_unknown_divergence_is_refused_before_the_run(self):
        with pytest.raises(ValueError, match=r"f_dpo.divergence: .*'js'.* got 'renyi'"):
            plugins.build("losses", "f_dpo", {"divergence": "renyi"})
