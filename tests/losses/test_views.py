"""Information bottlenecks on two views: published numbers, closed forms, and what they ignore."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from prefloop import plugins
from prefloop.batches import PairScores, ViewCodes
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.views._information import dependence, jensen_shannon
from prefloop.losses.views.bottleneck import bottleneck
from prefloop.losses.views.contrastive import contrastive
from prefloop.losses.views.multi_view import multi_view

LOSSES = [plugins.find("losses/views", name) for name in plugins.names("losses/views")]
LOG_4 = 2 * torch.tensor(2.0, dtype=torch.float64).log().item()


def codes(score: Tensor | None = None, views: int = 5, width: int = 3, seed: int = 0) -> ViewCodes:
    """Random codes; random scores of every pair, unless given."""
    g = torch.Generator().manual_seed(seed)
    views = views if score is None else len(score)
    means = [torch.randn(views, width, generator=g) for _ in range(2)]
    stds = [0.1 + torch.rand(views, width, generator=g) for _ in range(2)]
    return ViewCodes(
        mean_1=means[0],
        std_1=stds[0],
        mean_2=means[1],
        std_2=stds[1],
        score=torch.randn(views, views, generator=g) if score is None else score,
        own=torch.arange(views),
    )


def same_codes(score: Tensor) -> ViewCodes:
    """Codes that are the same in both views."""
    y = codes(score)
    return replace(y, mean_2=y.mean_1, std_2=y.std_1)


class TestPublishedNumbers:
    """Federici's estimator and Hjelm's formula, run on these inputs."""

    def test_jensen_shannon_of_raw_scores(self):
        joint = torch.tensor([1.2, -0.3, 0.8, 2.0])
        product = torch.tensor([-0.5, 0.1, -1.4, 0.7])[:, None]
        found = jensen_shannon(joint, product).mean()
        assert found.item() == pytest.approx(-1.0394358730, abs=1e-10)
        zero = jensen_shannon(torch.zeros(3), torch.zeros(3, 2)).mean()
        assert zero.item() == pytest.approx(-1.3862943611, abs=1e-10)

    def test_a_dot_product_critic_with_the_roll_as_negatives(self):
        first = torch.tensor([[0.5, -1], [1.5, 0.25], [-0.75, 0.5]])
        second = torch.tensor([[0.4, -0.8], [1, 0.5], [-1, 0.75]])
        found = multi_view(codes(first @ second.T), negatives="roll").mean()
        assert found.item() == pytest.approx(0.7029447322, abs=1e-10)

    @pytest.mark.parametrize(
        ("loss", "options", "expected"),
        [
            (contrastive, {}, 0.4375073007),
            (multi_view, {}, 0.9507794857),
            (multi_view, {"negatives": "roll"}, 0.8990512528),
        ],
    )
    def test_a_matrix_of_scores(self, loss, options, expected):
        score = torch.tensor([[2, 0.1, -0.5], [0.3, 1.5, 0.2], [-0.4, 0.6, 1]])
        assert loss(codes(score), **options).mean().item() == pytest.approx(expected, abs=1e-10)

    def test_the_bound_that_infonce_gives(self):
        score = torch.tensor([[2, 0.1, -0.5], [0.3, 1.5, 0.2], [-0.4, 0.6, 1]])
        bound = torch.tensor(3.0).log() - contrastive(codes(score)).mean()
        assert bound.item() == pytest.approx(0.6611049880, abs=1e-10)


MEANS = ([[0, 1, -0.5], [0.3, -0.2, 0.9]], [[0.5, 0.8, -1], [0.1, 0.4, 0.7]])
RAW = ([[0, -1, 0.5], [1, 0.2, -0.3]], [[0.3, -0.5, 0], [0.8, -0.1, 0.4]])
NOISE = ([[0.5, -1, 0.25], [1, 0, -0.5]], [[-0.25, 0.75, 1], [0, -1.5, 0.5]])


def published() -> tuple[Normal, Normal]:
    """Two views' codes of two prompts."""
    return tuple(
        Normal(torch.tensor(mean), softplus(torch.tensor(raw)) + 1e-7)
        for mean, raw in zip(MEANS, RAW, strict=True)
    )


class TestDivergence:
    def test_it_is_half_of_both_ways(self):
        one, two = published()
        y = replace(
            codes(torch.zeros(2, 2)),
            **{"mean_1": one.mean, "std_1": one.stddev, "mean_2": two.mean, "std_2": two.stddev},
        )
        found = bottleneck(y) - LOG_4
        there, back = kl_divergence(one, two).sum(1), kl_divergence(two, one).sum(1)
        torch.testing.assert_close(found, (there + back) / 2, rtol=1e-12, atol=1e-12)
        assert there[0].item() == pytest.approx(0.8384548359, abs=1e-9)
        assert back[0].item() == pytest.approx(0.9704582592, abs=1e-9)
        assert found[0].item() == pytest.approx(0.9044565475, abs=1e-9)

    def test_one_draw_may_say_that_a_divergence_is_negative(self):
        """Which is why ours is in closed form: the same codes by Federici's estimator."""
        one, two = published()
        draw_1, draw_2 = (
            p.mean + p.stddev * torch.tensor(noise)
            for p, noise in zip((one, two), NOISE, strict=True)
        )
        there = one.log_prob(draw_1) - two.log_prob(draw_1)
        back = two.log_prob(draw_2) - one.log_prob(draw_2)
        estimate = (there + back).sum(1).mean() / 2
        assert estimate.item() == pytest.approx(-0.2498548636, abs=1e-9)

    def test_it_is_never_negative_and_no_matter_which_view_is_first(self):
        for seed in range(20):
            y = codes(torch.zeros(5, 5), seed=seed)
            turned = replace(y, mean_1=y.mean_2, std_1=y.std_2, mean_2=y.mean_1, std_2=y.std_1)
            assert (bottleneck(y) > LOG_4).all()
            torch.testing.assert_close(bottleneck(y), bottleneck(turned))

    def test_same_codes_have_none(self):
        torch.testing.assert_close(
            bottleneck(same_codes(torch.zeros(4, 4))), torch.full((4,), LOG_4)
        )

    def test_its_weight_scales_it_alone(self):
        y = codes()
        without = multi_view(y)
        torch.testing.assert_close(bottleneck(y, skl=0.0), without)
        torch.testing.assert_close(bottleneck(y, skl=3.0) - without, 3 * (bottleneck(y) - without))


class TestDependence:
    @pytest.mark.parametrize("negatives", ["all", "roll"])
    def test_it_is_at_most_zero_and_log_a_quarter_when_nothing_is_said(self, negatives):
        assert all((dependence(codes(seed=s), negatives) < 0).all() for s in range(20))
        nothing = dependence(codes(torch.zeros(6, 6)), negatives)
        torch.testing.assert_close(nothing, torch.full((6,), -LOG_4))

    def test_the_best_critic_reads_the_jensen_shannon_divergence(self):
        """T* = log joint/product; two views that are one fair coin: 2 JSD − 2 log 2, exactly."""
        joint, product = torch.tensor([0.4, 0.1, 0.1, 0.4]), torch.full((4,), 0.25)
        best = (joint / product).log()
        mean = (joint + product) / 2
        divergence = (joint * (joint / mean).log()).sum() + (product * (product / mean).log()).sum()
        found = -(joint * softplus(-best)).sum() - (product * softplus(best)).sum()
        assert found.item() == pytest.approx(divergence.item() - LOG_4, abs=1e-12)
        draws = torch.cat([best[i].expand(int(10 * p)) for i, p in enumerate(joint.tolist())])
        torch.testing.assert_close(jensen_shannon(draws, best.expand(len(draws), 4)).mean(), found)

    def test_a_plain_loop_says_the_same(self):
        y = codes(views=4)
        for i in range(4):
            others = [softplus(y.score[i, j]) for j in range(4) if j != i]
            expected = -softplus(-y.score[i, i]) - sum(others) / 3
            torch.testing.assert_close(dependence(y)[i], expected)

    def test_views_elsewhere_are_negatives_too(self):
        """This rank holds rows 2 and 3 of a batch of four."""
        y = codes(views=4)
        half = ViewCodes(**{f.name: getattr(y, f.name)[2:] for f in fields(y)})
        for loss in LOSSES:
            torch.testing.assert_close(loss(half), loss(y)[2:])
        torch.testing.assert_close(dependence(half, "roll"), dependence(y, "roll")[2:])


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
class TestEveryLossOfViews:
    def test_there_is_a_number_a_pair_of_views(self, loss):
        assert loss(codes(views=7)).shape == (7,)

    def test_the_order_of_the_pairs_is_nothing(self, loss):
        y, order = codes(views=6), torch.tensor([3, 0, 5, 1, 4, 2])
        mixed = {f.name: getattr(y, f.name)[order] for f in fields(y)}
        mixed |= {"score": y.score[order][:, order], "own": torch.arange(6)}
        torch.testing.assert_close(loss(ViewCodes(**mixed)), loss(y)[order])

    def test_finding_a_views_own_partner_is_rewarded(self, loss):
        score = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
        (slope,) = torch.autograd.grad(loss(codes(score)).mean(), score)
        own = torch.eye(5, dtype=torch.bool)
        assert (slope[own] < 0).all() and (slope[~own] > 0).all()

    def test_its_gradient_is_right(self, loss):
        y = codes(views=3, width=2)
        inputs = {f.name: getattr(y, f.name).requires_grad_() for f in fields(y) if f.name != "own"}

        def of(*tensors):
            return loss(replace(y, **dict(zip(inputs, tensors, strict=True))))

        assert torch.autograd.gradcheck(of, tuple(inputs.values()))

    def test_it_is_finite_for_a_critic_that_is_very_sure(self, loss):
        for score in (1e4 * torch.eye(4), -1e4 * torch.eye(4)):
            assert loss(codes(score)).isfinite().all()

    def test_a_batch_of_one_is_refused(self, loss):
        """Its only negative would be itself: the joint law and the product would be the same."""
        with pytest.raises(
            ValueError, match=r"at least 2 pairs of views, got a batch of 1; raise reward.views_b"
        ):
            loss(codes(views=1))

    def test_it_names_its_paper(self, loss):
        assert "arXiv:" in loss.__doc__


def test_what_a_batch_of_one_would_have_said():
    """With itself as its negative, T = 1: a number like any other, about nothing."""
    score = torch.tensor([0.5 * 0.4 + 1 * 0.8])
    found = jensen_shannon(score, score[:, None])
    assert found.item() == pytest.approx(-1.6265233750, abs=1e-10)


class TestTheRewardModelsOwnTerm:
    """L_R = −log σ(r_w − r_l), to which λ L_M is added."""

    def test_the_cross_entropy_form_is_the_same(self):
        a, b = torch.tensor([0.3, -1.2, 2.0]), torch.tensor([0.1, 0.4, -0.5])
        y = PairScores(a=a, b=b, p=torch.ones(3))
        other = binary_cross_entropy_with_logits(y.gap, torch.ones(3), reduction="none")
        torch.testing.assert_close(bradley_terry(y), other)

    def test_its_slope(self):
        a = torch.tensor([0.3, -1.2, 2.0]).requires_grad_()
        y = PairScores(a=a, b=torch.tensor([0.1, 0.4, -0.5]), p=torch.ones(3))
        bradley_terry(y).mean().backward()
        torch.testing.assert_close(a.grad, -(1 - y.gap.sigmoid()) / 3)
