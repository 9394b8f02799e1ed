"""Claims about policy gradients and rejection sampling: every sample counted by its chance."""

from functools import partial
from math import log

import torch
from torch import Tensor

from prefloop.batches import PointLogps
from prefloop.config import Credit
from prefloop.losses.ppo import ppo
from prefloop.losses.reinforce import reinforce
from prefloop.losses.rloo import rloo
from prefloop.losses.sft import sft
from prefloop.theory import closed
from prefloop.theory.claim import claim, dice, farthest, law, normal
from prefloop.theory.policy_gradient import Method, Scene, ascent, train
from prefloop.theory.world import sequences

RLHF, PPO, RLOO = "arXiv:2305.18290, eq. 4", "arXiv:1707.06347", "arXiv:2402.14740"
GAE, RAFT, GUIDE = "arXiv:1506.02438", "arXiv:2304.06767", "Alignment Guidebook, KL estimators"


def scene(seed: int, *, length: int = 2, beta: float = 0.5) -> Scene:
    """Every text of at most so many tokens of three, with a reward each."""
    g, texts = dice(seed), sequences(3, length)
    beginnings = {text[:k] for text in texts for k in range(len(text))}
    prior, reward = normal(g, len(beginnings), 3), normal(g, len(texts))
    return Scene(texts=texts, prior=prior, reward=reward, beta=beta)


def with_critic(lam: float = 0.95) -> Method:
    """PPO, its critic as fast as its policy."""
    return Method(loss=partial(ppo, value_weight=1.0), settings=Credit(whiten=False, lam=lam))


def without(loss: str, estimator: str = "none", samples: int = 1) -> Method:
    """RLOO or REINFORCE."""
    settings = Credit.model_validate({"estimator": estimator, "whiten": False})
    found = {"rloo": rloo, "reinforce": reinforce}[loss]
    return Method(loss=found, settings=settings, samples=samples)


def slope(where: Scene, table: Tensor) -> Tensor:
    """∇J, by differentiating through the law of the samples."""
    found: Tensor = torch.func.grad(where.objective)(table)
    return found


def from_the_optimum(where: Scene, method: Method, **schedule: int) -> float:
    """KL(π‖π*) after training."""
    best = closed.tilt(where.logps(where.prior), where.reward, where.beta)
    return float(closed.kl(train(where, method, **schedule), best))


@claim(f"{PPO}; {RLHF}", tolerance=1e-5)
def ppo_ends_at_the_optimum() -> float:
    """With k1 in the reward and a critic that learns along, PPO ends at π₀ exp(r/β)/Z."""
    return from_the_optimum(scene(0), with_critic())


@claim(f"{RLOO}; {RLHF}", tolerance=1e-5)
def rloo_ends_at_the_optimum() -> float:
    """Over every two samples a prompt could get, RLOO ends at π₀ exp(r/β)/Z."""
    return from_the_optimum(scene(1), without("rloo", "leave_one_out", 2))


@claim(f"Williams 1992; {RLHF}", tolerance=1e-5)
def reinforce_ends_at_the_optimum() -> float:
    """With one step a round REINFORCE ends at π₀ exp(r/β)/Z."""
    return from_the_optimum(scene(1), without("reinforce", "mean"), rounds=200, steps=1)


@claim(RLOO, tolerance=1e-12)
def two_samples_a_prompt_are_enough() -> float:
    """RLOO's expected first step is along ∇J for two samples a prompt as for three."""
    where = scene(2)
    table, true = where.prior + 0.5, slope(where, where.prior + 0.5)
    steps = [ascent(where, without("rloo", "leave_one_out", n), table) for n in (2, 3)]
    return max(farthest(step, true) for step in steps)


@claim("Sutton et al. 1999, policy gradient theorem", tolerance=1e-12)
def what_came_before_a_token_is_not_its_merit() -> float:
    """∇J comes of whole returns as of what is still to come: REINFORCE and RLOO, no baseline."""
    where = scene(3, length=3)
    table = normal(dice(30), *where.prior.shape)
    true = slope(where, table)
    steps = [ascent(where, without(loss), table) for loss in ("rloo", "reinforce")]
    return max(farthest(step, true) for step in steps)


@claim(GAE, tolerance=1e-12)
def with_the_true_critic_any_lambda_is_right() -> float:
    """The expected first step of PPO is along ∇J whatever λ is."""
    where = scene(4, length=3)
    table = normal(dice(31), *where.prior.shape)
    critic, true = where.values(table), slope(where, table)
    return max(
        farthest(ascent(where, with_critic(lam), table, critic), true) for lam in (0.0, 0.5, 1.0)
    )


@claim(GAE, tolerance=1e-12)
def with_a_wrong_critic_only_lambda_one_is_right() -> float:
    """A critic that is off by N(0, 1) does no harm at λ = 1; at 0.95 the step is not along ∇J."""
    where = scene(5, length=3)
    table = normal(dice(32), *where.prior.shape)
    critic, true = where.values(table) + normal(dice(33), len(where.states)), slope(where, table)
    bent = farthest(ascent(where, with_critic(0.95), table, critic), true)
    right = farthest(ascent(where, with_critic(1.0), table, critic), true)
    return right if bent > 1e-3 else float("inf")


@claim(GUIDE, tolerance=1e-12)
def the_ratio_makes_k3_the_reverse_kl() -> float:
    """The expected gradient of π/π_old · k3 is ∇KL(π‖π₀), where k3 alone gives the forward KL."""
    g = dice(34)
    logits, prior = normal(g, 6), law(g, 6)
    old = logits.log_softmax(0)

    def term(x: Tensor) -> Tensor:
        policy = x.log_softmax(0)
        k3 = closed.kl_estimators(policy - prior)["k3"]
        return old.exp() @ ((policy - old).exp() * k3)

    true = torch.func.grad(lambda x: closed.kl(x.log_softmax(0), prior))(logits)
    return farthest(torch.func.grad(term)(logits), true)


@claim(f"derived; {GUIDE}", tolerance=1e-12)
def k3_in_the_reward_takes_the_forward_kl_back() -> float:
    """With k3 as a number in the reward the step is ∇[J + β KL(π₀‖π)]; with k2 ∇[J + βKL − βE k2].

    An estimate that depends on π has a gradient of its own, which the reward does not pass on.
    """
    where = scene(6, length=1)
    table = normal(dice(35), *where.prior.shape)

    def pushed(x: Tensor, kind: str) -> Tensor:
        policy, ref = where.logps(x), where.logps(where.prior)
        k2 = policy.exp() @ closed.kl_estimators(policy - ref)["k2"]
        reverse, forward = closed.kl(policy, ref), closed.kl(ref, policy)
        spared = {"k2": reverse + reverse - k2, "k3": forward}[kind]
        return where.objective(x) + where.beta * spared

    worst = 0.0
    for kind in ("k3", "k2"):
        settings = Credit.model_validate({"estimator": "none", "whiten": False, "kl": kind})
        step = ascent(where, Method(loss=reinforce, settings=settings), table)
        worst = max(worst, farthest(step, torch.func.grad(pushed)(table, kind)))
    return worst


ARMS = (0.4, 0.3, 0.2, 0.1)
"""the rarest is the best"""


def raft(rounds: int, replayed: float = 0.0, of: str = "previous") -> Tensor:
    """The law after rounds of imitating the best of 4, a share of the rows being replayed."""
    first = torch.tensor(ARMS, dtype=torch.float64)
    policy, reward = first, torch.arange(4, dtype=torch.float64)
    for _ in range(rounds):
        old = {"previous": policy, "pi0": first}[of]
        policy = (1 - replayed) * closed.best_of(policy.log(), reward, 4) + replayed * old
    return policy


@claim(RAFT, tolerance=1e-12)
def imitating_the_best_of_n_gives_the_best_of_n() -> float:
    """SFT on the best of n is at rest exactly at their law, so RAFT's rounds compose by it."""
    g = dice(36)
    prior, reward = law(g, 6), normal(g, 6)
    kept = closed.best_of(prior, reward, 4)

    def loss(logits: Tensor) -> Tensor:
        one = torch.ones(6, dtype=torch.float64)
        y = logits.log_softmax(0)
        rows = PointLogps(y=y, ref=prior, desirable=one > 0, length=one, mean_length=one[0])
        return kept @ sft(rows)

    away = torch.func.grad(loss)(prior)
    rest = float(torch.func.grad(loss)(kept.log()).abs().max())
    return rest if float(away.abs().max()) > 1e-3 else float("inf")


@claim(f"derived for {RAFT}", tolerance=1e-12)
def rounds_of_best_of_n_are_best_of_a_power() -> float:
    """Best of n, T rounds over, is best of nᵀ: RAFT's KL may grow by log n a round."""
    g = dice(37)
    prior, reward = law(g, 6), normal(g, 6)
    policy, worst = prior, 0.0
    for round in range(1, 5):
        policy = closed.best_of(policy, reward, 3).log()
        worst = max(worst, farthest(policy.exp(), closed.best_of(prior, reward, 3**round)))
    return worst


@claim("Alignment Guidebook, RAFT", tolerance=0.0)
def raft_collapses_within_three_rounds() -> float:
    """Best of 4 thrice from (.4, .3, .2, .1) has the rarest, best arm at more than .99."""
    return 0.99 - float(raft(3)[3])


@claim("Alignment Guidebook, RAFT", tolerance=0.0)
def replaying_the_previous_law_only_delays_the_collapse() -> float:
    """With half the rows from the round before the best arm is below .7 after three rounds.

    After ten it is above .99. With half the rows from π₀ it stays below .55 for good.
    """
    late, held = float(raft(10, 0.5)[3]), float(raft(100, 0.5, "pi0")[3])
    return max(float(raft(3, 0.5)[3]) - 0.7, 0.99 - late, held - 0.55)


@claim("Alignment Guidebook, restarting from π₀", tolerance=1e-12)
def going_on_goes_past_the_bound_that_restarting_keeps() -> float:
    """Restarted, with samples of π₀, RAFT is best of n: KL ≤ log n − (n−1)/n. Going on is not."""
    prior = torch.tensor(ARMS, dtype=torch.float64).log()
    restarted, going = raft(1), raft(3)
    bound = log(4) - 3 / 4
    apart = closed.kl(going.log(), prior) - bound
    near = float(closed.kl(restarted.log(), prior)) - bound
    return near if float(apart) > 1 else float("inf")
