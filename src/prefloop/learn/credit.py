"""From a response's score to advantages of its tokens: the KL in the reward, baselines, GAE.

Tensors have a token axis last and may have others before it; rows of different lengths are filled
up with zeros at their ends, which leaves every token's value what it was.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prefloop.config import Credit

Rows = Sequence[Float[Tensor, " _"]]
_KINDS = ("k1", "k2", "k3")


@dataclass(frozen=True, kw_only=True)
class Advantages:
    """What a policy-gradient loss is told of one response's tokens."""

    advantage: Float[Tensor, " token"]
    old: Float[Tensor, " token"]
    """log π_old, as it was given"""
    value: Float[Tensor, " token"] | None = None
    """the critic's, as it was given"""
    returns: Float[Tensor, " token"] | None = None
    """what the critic should have said"""


def kl_estimate(log_ratio: Float[Tensor, "*token"], kind: str) -> Float[Tensor, "*token"]:
    """A sampled token's estimate of KL(π‖π_ref), from ℓ = log π − log π_ref.

        k1 = ℓ,    k2 = ℓ²/2,    k3 = e^−ℓ − 1 + ℓ

    Schulman 2020. k1 and k3 are unbiased, k2 is not; k3 is never below 0 and has a heavy tail where
    π_ref is much above π. In the reward all three are numbers. Of the sum over a response only k1
    makes the policy gradient that of E[r] − β KL.
    """
    if kind not in _KINDS:
        raise ValueError(f"an estimate of the KL is one of {', '.join(_KINDS)}, got {kind!r}")
    if kind == "k1":
        return log_ratio
    return log_ratio**2 / 2 if kind == "k2" else (-log_ratio).expm1() + log_ratio


def token_rewards(
    score: float, log_ratio: Float[Tensor, " token"], finished: bool, settings: Credit, beta: float
) -> Float[Tensor, " token"]:
    """One response's rewards: −β·k at each token, and the score at the last.

    The score is cut to ±`settings.clip` first and loses `settings.eos_penalty` when the length
    limit ended the response.
    """
    if not len(log_ratio):
        raise ValueError("a response needs at least 1 token to be rewarded, EOS included, got none")
    rewards = -beta * kl_estimate(log_ratio, settings.kl)
    if settings.clip is not None:
        score = max(-settings.clip, min(settings.clip, score))
    last = torch.zeros_like(rewards)
    last[-1] = score if finished else score - (settings.eos_penalty or 0.0)
    return rewards + last


def to_go(rewards: Float[Tensor, "*row token"], rate: float) -> Float[Tensor, "*row token"]:
    """What is still to come from each token on: G_t = r_t + rate · G_{t+1}."""
    if rate == 1:
        return rewards.flip(-1).cumsum(-1).flip(-1)
    found = torch.zeros_like(rewards)
    later = torch.zeros_like(rewards[..., 0])
    for t in reversed(range(rewards.shape[-1])):
        found[..., t] = later = rewards[..., t] + rate * later
    return found


def gae(
    rewards: Float[Tensor, "*row token"],
    values: Float[Tensor, "*row token"],
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "*row token"], Float[Tensor, "*row token"]]:
    """Generalised advantages, and the returns a critic should have predicted.

        δ_t = r_t + γ V_{t+1} − V_t,    A_t = δ_t + γλ A_{t+1},    R_t = A_t + V_t

    Schulman et al. 2016, eq. 16 (arXiv:1506.02438). After the last token V is 0. With γ = λ = 1,
    A is the return less V whatever V is; with λ = 0 it is δ, and wrong as far as V is.
    """
    after = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)
    advantages = to_go(rewards + gamma * after - values, gamma * lam)
    return advantages, advantages + values


def whiten(values: Float[Tensor, " value"], shift_mean: bool = True) -> Float[Tensor, " value"]:
    """The values at standard deviation 1, and at mean 0 unless their mean is to be left alone."""
    if len(values) < 2:
        raise ValueError(
            f"a standard deviation needs at least 2 values, got {len(values)}; learn from more "
            "responses, or set credit.whiten=false and credit.whiten_rewards=false"
        )
    mean = values.mean()
    white = (values - mean) * (values.var() + 1e-8).rsqrt()
    return white if shift_mean else white + mean


def leave_one_out(
    returns: Float[Tensor, " response"], prompts: Sequence[Hashable]
) -> Float[Tensor, " response"]:
    """Each response's return less the mean of the prompt's other responses.

    Kool et al. 2019; Ahmadian et al. 2024 (arXiv:2402.14740). The others are independent of it, so
    that the policy gradient stays unbiased.
    """
    place = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    group = torch.tensor([place[prompt] for prompt in prompts], device=returns.device)
    count = torch.bincount(group)[group]
    if (count < 2).any():
        alone = prompts[int((count < 2).nonzero()[0])]
        raise ValueError(
            f"leave_one_out needs at least 2 responses a prompt, got 1 for {alone!r}; ask for more "
            "in sample.sources, or set credit.estimator=mean"
        )
    total = returns.new_zeros(len(place)).index_add(0, group, returns)[group]
    return returns - (total - returns) / (count - 1)


def adapted(beta: float, kl: float, settings: Credit, responses: int) -> float:
    """β after a round whose responses had this KL a sequence: up where it is above the target.

        e = clip(KL/target − 1, −0.2, 0.2),    β ← β (1 + e · responses/horizon)

    Ziegler et al. 2019 (arXiv:1909.08593). Without a target β stays.
    """
    if settings.target is None:
        return beta
    error = max(-0.2, min(0.2, kl / settings.target - 1))
    return beta * (1 + error * responses / settings.horizon)


def credit(
    scores: Sequence[float],
    old: Rows,
    ref: Rows,
    *,
    values: Rows | None,
    prompts: Sequence[Hashable],
    finished: Sequence[bool],
    settings: Credit,
    beta: float,
) -> tuple[list[Advantages], dict[str, float]]:
    """Every response's advantages by `settings.estimator`, and the round's means.

        gae             A of a critic's values
        leave_one_out   R less the mean of the prompt's others, the same for all tokens
        mean            what is still to come less the round's mean R
        none            what is still to come

    R is a response's return from its first token. Whitening is over the round's tokens; of
    leave_one_out, where a response is one action, over its responses.
    """
    _check(old, ref=ref, values=old if values is None else values)
    ratios = [o - r for o, r in zip(old, ref, strict=True)]
    rows = zip(scores, ratios, finished, strict=True)
    rewards = [token_rewards(s, ratio, done, settings, beta) for s, ratio, done in rows]
    said = _said(scores, ratios, rewards, finished, settings, beta)
    if settings.whiten_rewards:
        rewards = _split(whiten(torch.cat(rewards), shift_mean=False), old)
    advantages, returns = _estimate(rewards, values, prompts, settings)
    found = [
        Advantages(
            advantage=a,
            old=o,
            value=values[i] if values is not None else None,
            returns=returns[i] if returns is not None else None,
        )
        for i, (a, o) in enumerate(zip(advantages, old, strict=True))
    ]
    return found, said


def _check(old: Rows, **columns: Rows) -> None:
    for name, rows in columns.items():
        found, wanted = [len(row) for row in rows], [len(row) for row in old]
        if found != wanted:
            raise ValueError(
                f"{name} needs a value for each token that old has one for, got {found} of "
                f"{wanted} tokens; compute both on the same responses"
            )


def _estimate(
    rewards: Rows, values: Rows | None, prompts: Sequence[Hashable], settings: Credit
) -> tuple[Rows, Rows | None]:
    """The advantages, and a critic's returns where there is a critic."""
    padded, counts = pad_sequence(list(rewards), batch_first=True), _counts(rewards)
    if settings.estimator == "gae":
        advantages, returns = gae(padded, _critic(values), settings.gamma, settings.lam)
        white = _white(advantages[counts], settings)
        return _split(white, rewards), _split(returns[counts], rewards)
    returns = to_go(padded, settings.gamma)
    if settings.estimator == "leave_one_out":
        whole = _white(leave_one_out(returns[:, 0], prompts), settings)
        return [a.expand(len(row)) for a, row in zip(whole, rewards, strict=True)], None
    baseline = returns[:, 0].mean() if settings.estimator == "mean" else 0.0
    return _split(_white((returns - baseline)[counts], settings), rewards), None


def _critic(values: Rows | None) -> Float[Tensor, "row token"]:
    if values is None:
        raise ValueError(
            "credit.estimator=gae needs a critic's values, got none; use a loss that has a critic, "
            "like ppo, or set credit.estimator=leave_one_out"
        )
    return pad_sequence(list(values), batch_first=True)


def _white(values: Float[Tensor, " value"], settings: Credit) -> Float[Tensor, " value"]:
    return whiten(values) if settings.whiten else values


def _split(values: Float[Tensor, " token"], like: Rows) -> list[Float[Tensor, " _"]]:
    """Tokens in a row as those of one response after the other."""
    return list(torch.split(values, [len(row) for row in like]))


def _counts(rows: Rows) -> Bool[Tensor, "row token"]:
    """Which places of the padded rows are tokens."""
    return pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).bool()


def _said(
    scores: Sequence[float],
    ratios: Rows,
    rewards: Rows,
    finished: Sequence[bool],
    settings: Credit,
    beta: float,
) -> dict[str, float]:
    """Means over the responses; `kl` is in nats a sequence."""
    n = len(scores)
    return {
        "kl": float(torch.cat(list(ratios)).sum()) / n,
        "score": sum(scores) / n,
        "reward": float(torch.cat(list(rewards)).sum()) / n,
        "beta": beta,
        "unfinished": 1 - sum(finished) / n,
    }
