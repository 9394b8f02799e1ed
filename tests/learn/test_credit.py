"""Credit assignment against plain loops, closed forms and published numbers."""

from itertools import product

import pytest
import torch
from torch import Tensor

from prefloop.config import Credit
from prefloop.learn.credit import (
    adapted,
    credit,
    gae,
    kl_estimate,
    leave_one_out,
    to_go,
    token_rewards,
    whiten,
)

pytestmark = pytest.mark.usefixtures("float64")
close = torch.testing.assert_close
LENGTHS = (3, 1, 5, 2)
PLAIN = Credit(whiten=False)


def ragged(seed: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [-torch.rand(n, generator=g) for n in LENGTHS]


def given(settings: Credit, **changed):
    """What four responses to two prompts are credited with."""
    told = {
        "scores": [1.0, -2.0, 3.0, 0.5],
        "old": ragged(0),
        "ref": ragged(1),
        "values": ragged(2),
        "prompts": ["p", "q", "p", "q"],
        "finished": [True, True, False, True],
        "settings": settings,
        "beta": 0.1,
    }
    return credit(**{**told, **changed})


def plain_gae(rewards: list[float], values: list[float], gamma: float, lam: float):
    """The definition: A_t = Σ_k (γλ)^k δ_{t+k}."""
    after = [*values[1:], 0.0]
    delta = [r + gamma * w - v for r, w, v in zip(rewards, after, values, strict=True)]
    n = len(delta)
    return [sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, n)) for t in range(n)]


class TestKlEstimates:
    def test_published_means(self):
        ratio = torch.tensor([0.3, -0.2, 0.05, -0.6, 0.9])
        found = [kl_estimate(ratio, kind).mean() for kind in ("k1", "k2", "k3")]
        close(torch.stack(found), torch.tensor([0.09, 0.13025, 0.11842777]), rtol=0, atol=5e-9)

    def test_published_expectations(self):
        ref, policy = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.3, 0.4, 0.2, 0.1])
        found = [policy @ kl_estimate((policy / ref).log(), k) for k in ("k1", "k2", "k3")]
        expected = torch.tensor([0.08867627, 0.08799237, 0.08867627])
        close(torch.stack(found), expected, rtol=0, atol=5e-9)

    @pytest.mark.parametrize(
        ("kind", "slope"),
        [
            ("k1", [0.0, 0.0, 0.0, 0.0]),
            ("k2", [-0.17985057, 0.07960232, 0.03980116, 0.06044709]),
            ("k3", [-0.2, 0.1, 0.05, 0.05]),
        ],
    )
    def test_published_gradients_as_terms_of_a_loss(self, kind, slope):
        ref = torch.tensor([0.5, 0.3, 0.15, 0.05])
        logits = torch.tensor([0.3, 0.4, 0.2, 0.1]).log().requires_grad_()
        terms = kl_estimate(logits.log_softmax(0) - ref.log(), kind)
        (found,) = torch.autograd.grad(logits.softmax(0).detach() @ terms, logits)
        close(found, torch.tensor(slope), rtol=0, atol=5e-9)

    def test_the_published_gradient_of_ratio_times_k3_is_the_reverse_kl(self):
        ref = torch.tensor([0.5, 0.3, 0.15, 0.05])
        logits = torch.tensor([0.3, 0.4, 0.2, 0.1]).log().requires_grad_()
        logp = logits.log_softmax(0)
        ratio = (logp - logp.detach()).exp()
        value = logp.exp().detach() @ (ratio * kl_estimate(logp - ref.log(), "k3"))
        (found,) = torch.autograd.grad(value, logits)
        expected = torch.tensor([-0.17985057, 0.07960232, 0.03980116, 0.06044709])
        close(found, expected, rtol=0, atol=5e-9)

    def test_another_name_is_refused(self):
        with pytest.raises(ValueError, match="one of k1, k2, k3, got 'k4'"):
            kl_estimate(torch.zeros(1), "k4")


class TestTokenRewards:
    ratio = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64)

    def test_the_kl_at_each_token_and_the_score_at_the_last(self):
        found = token_rewards(2.0, self.ratio, True, Credit(), 0.1)
        close(found, torch.tensor([-0.05, 0.1, 1.98]))

    @pytest.mark.parametrize(("score", "cut"), [(9.0, 3.0), (-9.0, -3.0), (1.0, 1.0)])
    def test_scores_are_cut_before_the_penalty(self, score, cut):
        settings = Credit(clip=3.0, eos_penalty=1.0)
        done, not_done = (token_rewards(score, self.ratio, f, settings, 0.0) for f in (True, False))
        close(done, torch.tensor([0.0, 0.0, cut]))
        close(not_done, torch.tensor([0.0, 0.0, cut - 1.0]))

    def test_without_a_penalty_an_unfinished_response_loses_nothing(self):
        both = [token_rewards(1.0, self.ratio, f, Credit(), 0.1) for f in (True, False)]
        assert torch.equal(*both)

    def test_an_empty_response_is_refused(self):
        with pytest.raises(ValueError, match="at least 1 token"):
            token_rewards(1.0, torch.zeros(0), True, Credit(), 0.1)


class TestGae:
    @pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (0.99, 0.0), (1.0, 1.0)])
    def test_it_is_its_definition(self, gamma, lam):
        for rewards, values in zip(ragged(3), ragged(4), strict=True):
            advantages, returns = gae(rewards, values, gamma, lam)
            expected = torch.tensor(plain_gae(rewards.tolist(), values.tolist(), gamma, lam))
            close(advantages, expected)
            close(returns, expected + values)

    def test_waiting_for_what_came_it_is_the_return_less_the_value(self):
        rewards, values = torch.randn(2, 6), torch.randn(2, 6)
        advantages, returns = gae(rewards, values, 1.0, 1.0)
        whole = torch.stack([rewards[:, t:].sum(1) for t in range(6)], dim=1)
        close(advantages, whole - values)
        close(returns, whole)

    def test_with_lambda_zero_it_is_one_step(self):
        rewards, values = torch.randn(6), torch.randn(6)
        advantages, _ = gae(rewards, values, 0.9, 0.0)
        close(advantages[:-1], rewards[:-1] + 0.9 * values[1:] - values[:-1])
        close(advantages[-1], rewards[-1] - values[-1])

    def test_a_perfect_critic_leaves_no_advantage_whatever_lambda_is(self):
        rewards = torch.randn(7)
        advantages, _ = gae(rewards, to_go(rewards, 0.9), 0.9, 0.3)
        close(advantages, torch.zeros(7))

    def test_zeros_after_a_response_change_nothing_in_it(self):
        rewards, values = torch.randn(4), torch.randn(4)
        longer = [torch.cat([x, torch.zeros(3)]) for x in (rewards, values)]
        alone, padded = gae(rewards, values, 0.9, 0.8), gae(*longer, 0.9, 0.8)
        close(torch.stack(padded)[:, :4], torch.stack(alone))


@pytest.mark.parametrize("rate", [1.0, 0.7, 0.0])
def test_what_is_still_to_come(rate):
    rewards = torch.randn(5)
    expected = [sum(rate ** (s - t) * rewards[s] for s in range(t, 5)) for t in range(5)]
    close(to_go(rewards, rate), torch.stack(expected))


class TestWhiten:
    values = torch.tensor([1.0, 4.0, 2.5, -3.0], dtype=torch.float64)

    def test_mean_zero_and_deviation_one(self):
        white = whiten(self.values)
        close(white.mean(), torch.tensor(0.0))
        close(white.std(), torch.tensor(1.0))

    def test_the_mean_can_be_left_alone(self):
        white = whiten(self.values, shift_mean=False)
        close(white.mean(), self.values.mean())
        close(white.std(), torch.tensor(1.0))

    def test_equal_values_stay_finite(self):
        close(whiten(torch.ones(3)), torch.zeros(3))

    def test_one_value_has_no_deviation(self):
        with pytest.raises(ValueError, match=r"at least 2 values, got 1.*credit\.whiten=false"):
            whiten(torch.ones(1))


class TestLeaveOneOut:
    def test_it_is_the_return_less_the_mean_of_the_others(self):
        returns, prompts = torch.randn(7), list("abaabba")
        expected = []
        for i, prompt in enumerate(prompts):
            others = [float(returns[j]) for j in range(7) if prompts[j] == prompt and j != i]
            expected.append(float(returns[i]) - sum(others) / len(others))
        close(leave_one_out(returns, prompts), torch.tensor(expected))

    def test_advantages_of_a_prompt_sum_to_zero(self):
        found = leave_one_out(torch.randn(6), ["a", "b", "a", "b", "b", "a"])
        close(found[[0, 2, 5]].sum(), torch.tensor(0.0))

    def test_a_lone_response_is_refused(self):
        with pytest.raises(ValueError, match=r"at least 2 responses a prompt, got 1 for 'b'.*mean"):
            leave_one_out(torch.randn(3), ["a", "b", "a"])

    @pytest.mark.parametrize("samples", [2, 3])
    def test_the_expected_gradient_is_that_of_the_expected_reward(self, samples):
        """Over every set of samples a prompt could get; a plain mean shrinks it by 1 − 1/n."""
        logp, reward = torch.randn(3).log_softmax(0), torch.randn(3)
        score = torch.eye(3) - logp.exp()
        found, shrunk = torch.zeros(3), torch.zeros(3)
        for drawn in product(range(3), repeat=samples):
            chance, got = logp[list(drawn)].sum().exp(), reward[list(drawn)]
            found += chance * leave_one_out(got, ["p"] * samples) @ score[list(drawn)] / samples
            shrunk += chance * (got - got.mean()) @ score[list(drawn)] / samples
        truth = (logp.exp() * reward) @ score
        close(found, truth)
        close(shrunk, (1 - 1 / samples) * truth)


class TestAdaptedBeta:
    @pytest.mark.parametrize(
        ("kl", "expected"), [(9.0, 0.200256), (6.6, 0.200128), (2.0, 0.199744)]
    )
    def test_published_steps(self, kl, expected):
        """Target 6, horizon 10,000, 64 responses."""
        found = adapted(0.2, kl, Credit(target=6.0), 64)
        assert found == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize(("kl", "expected"), [(3.0, 0.196), (6.6, 0.202), (20.0, 0.204)])
    def test_alpaca_farms_steps(self, kl, expected):
        """Theirs says k = 0.1 where this says responses/horizon."""
        found = adapted(0.2, kl, Credit(target=6.0, horizon=640.0), 64)
        assert found == pytest.approx(expected, abs=1e-12)

    def test_without_a_target_it_stays(self):
        assert adapted(0.2, 100.0, Credit(), 64) == 0.2


class TestCredit:
    @pytest.mark.parametrize("whitened", [False, True])
    def test_gae_of_each_response_by_itself(self, whitened):
        found, _ = given(Credit(whiten=whitened, gamma=0.9, lam=0.8))
        expected = []
        for score, old, ref, value in zip(
            [1.0, -2.0, 3.0, 0.5], ragged(0), ragged(1), ragged(2), strict=True
        ):
            rewards = -0.1 * (old - ref)
            rewards[-1] += score
            expected.append(torch.tensor(plain_gae(rewards.tolist(), value.tolist(), 0.9, 0.8)))
        flat = torch.cat(expected)
        white = (flat - flat.mean()) / flat.std() if whitened else flat
        close(torch.cat([a.advantage for a in found]), white, rtol=1e-6, atol=1e-7)
        close(torch.cat([a.returns for a in found]), flat + torch.cat(ragged(2)))

    def test_what_was_given_is_passed_on(self):
        found, _ = given(Credit())
        for a, old, value in zip(found, ragged(0), ragged(2), strict=True):
            assert torch.equal(a.old, old) and torch.equal(a.value, value)

    def test_leave_one_out_gives_all_tokens_of_a_response_the_same(self):
        found, _ = given(Credit(estimator="leave_one_out", whiten=False), values=None)
        totals = [s - 0.1 * float((o - r).sum()) for s, o, r in self.rows()]
        expected = [totals[i] - totals[j] for i, j in ((0, 2), (1, 3), (2, 0), (3, 1))]
        for a, value, n in zip(found, expected, LENGTHS, strict=True):
            close(a.advantage, torch.full((n,), value))
            assert a.returns is None and a.value is None

    def test_leave_one_out_is_whitened_over_responses(self):
        found, _ = given(Credit(estimator="leave_one_out"), values=None)
        each = torch.stack([a.advantage[0] for a in found])
        close(each.std(), torch.tensor(1.0), rtol=1e-6, atol=0)

    @pytest.mark.parametrize("estimator", ["mean", "none"])
    def test_what_is_still_to_come_less_the_rounds_mean(self, estimator):
        found, said = given(Credit(estimator=estimator, whiten=False), values=None)
        baseline = said["reward"] if estimator == "mean" else 0.0
        for a, (score, old, ref) in zip(found, self.rows(), strict=True):
            kl = (old - ref).flip(0).cumsum(0).flip(0)
            close(a.advantage, score - 0.1 * kl - baseline)

    @staticmethod
    def rows():
        return list(zip([1.0, -2.0, 3.0, 0.5], ragged(0), ragged(1), strict=True))

    def test_rewards_whitened_over_the_round_keep_their_mean(self):
        found, _ = given(Credit(estimator="none", whiten=False, whiten_rewards=True), values=None)
        rewards = [token_rewards(s, o - r, True, Credit(), 0.1) for s, o, r in self.rows()]
        flat = torch.cat(rewards)
        white = (flat - flat.mean()) / flat.std() + flat.mean()
        totals = torch.stack([part.sum() for part in white.split(LENGTHS)])
        close(torch.stack([a.advantage[0] for a in found]), totals, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize("estimator", ["gae", "leave_one_out", "mean", "none"])
    def test_the_order_of_the_responses_changes_nothing(self, estimator):
        order = [2, 0, 3, 1]
        settings = Credit(estimator=estimator)
        told = {"scores": [1.0, -2.0, 3.0, 0.5], "old": ragged(0), "ref": ragged(1)}
        told |= {"values": ragged(2), "prompts": list("pqpq"), "finished": [True] * 4}
        found, _ = given(settings, **told)
        moved, _ = given(settings, **{k: [v[i] for i in order] for k, v in told.items()})
        for i, a in zip(order, moved, strict=True):
            close(a.advantage, found[i].advantage)

    def test_single_precision_stays_single(self):
        narrow = [[x.float() for x in ragged(seed)] for seed in range(3)]
        found, _ = given(Credit(), old=narrow[0], ref=narrow[1], values=narrow[2])
        assert all(a.advantage.dtype == a.returns.dtype == torch.float32 for a in found)

    def test_the_rounds_means(self):
        _, said = given(Credit(eos_penalty=1.0))
        kl = sum(float((o - r).sum()) for _, o, r in self.rows()) / 4
        assert said == pytest.approx(
            {
                "kl": kl,
                "score": 0.625,
                "reward": 0.625 - 0.25 - 0.1 * kl,
                "beta": 0.1,
                "unfinished": 0.25,
            }
        )

    def test_identical_policies_have_no_kl(self):
        _, said = given(PLAIN, ref=ragged(0))
        assert said["kl"] == 0 and said["reward"] == said["score"]

    @pytest.mark.parametrize("column", ["ref", "values"])
    def test_values_of_other_tokens_are_refused(self, column):
        with pytest.raises(
            ValueError, match=rf"{column} needs a value for each.*got \[3, 1, 5, 1\]"
        ):
            given(PLAIN, **{column: [*ragged(0)[:3], torch.zeros(1)]})

    def test_gae_without_a_critic_is_refused(self):
        with pytest.raises(ValueError, match="needs a critic's values, got none"):
            given(PLAIN, values=None)


def test_published_advantages_of_trls_ppo():
    """Its first response is shorter than its row; TRL puts the score at the padding after it."""
    pad = 1.0
    logp = torch.tensor([[-1.0, -0.5, -2.0, -0.7, pad], [-0.3, -1.5, -0.9, -1.1, -0.4]])
    ref = torch.tensor([[-1.2, -0.4, -1.6, -0.9, pad], [-0.5, -1.2, -1.0, -1.4, -0.3]])
    values = torch.tensor([[0.1, 0.2, 0.15, 0.3, 0.25], [0.0, -0.1, 0.2, 0.1, 0.05]])
    settings = Credit(whiten=False, gamma=1.0, lam=0.95)
    found, _ = credit(
        scores=[1.5, -0.4],
        old=list(logp),
        ref=list(ref),
        values=list(values),
        prompts=["p", "q"],
        finished=[True, True],
        settings=settings,
        beta=0.05,
    )
    rows = zip([1.5, -0.4], logp - ref, strict=True)
    rewards = torch.stack([token_rewards(s, x, True, settings, 0.05) for s, x in rows])
    advantages = torch.stack([a.advantage for a in found])
    exact = {"rtol": 0, "atol": 5e-9}
    close(
        rewards,
        torch.tensor(
            [[-0.01, 0.005, 0.02, -0.01, 1.5], [-0.01, 0.015, -0.005, -0.015, -0.395]],
        ),
        **exact,
    )
    close(
        advantages,
        torch.tensor(
            [
                [1.16736531, 1.13406875, 1.24112500, 1.12750000, 1.25000000],
                [-0.32369716, -0.22494437, -0.56836250, -0.48775000, -0.44500000],
            ]
        ),
        **exact,
    )
    close(
        torch.stack([a.returns for a in found]),
        torch.tensor(
            [
                [1.26736531, 1.33406875, 1.39112500, 1.42750000, 1.50000000],
                [-0.32369716, -0.32494437, -0.36836250, -0.38775000, -0.39500000],
            ]
        ),
        **exact,
    )
    tokens = torch.tensor([True] * 4 + [False] + [True] * 5)
    close(
        whiten(advantages.flatten()[tokens]),
        torch.tensor(
            [
                *[1.04616764, 1.00641304, 1.13423339, 0.99857025],
                *[-0.73409388, -0.61618750, -1.02621330, -0.92996560, -0.87892402],
            ]
        ),
        **exact,
    )
