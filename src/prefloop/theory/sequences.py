"""The KL-regularised optimum of an autoregressive policy, token by token."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

Text = tuple[int, ...]


def soft_values(
    tokens: Sequence[Text],
    prior: Float[Tensor, " response"],
    reward: Float[Tensor, " response"],
    beta: float,
) -> dict[Text, Tensor]:
    """V of every prefix by the soft Bellman recursion from the ends of the texts backwards.

        V(text) = r,   V(s) = β log Σ_t π₀(t | s) exp(V(s t)/β)

    V of the empty prefix is J* = β log Z.
    """
    mass = _prefix_mass(tokens, prior)
    values = dict(zip(tokens, reward, strict=True))
    for prefix in sorted(mass, key=lambda s: -len(s)):
        if prefix not in values:
            after = [s for s in mass if s[:-1] == prefix and len(s) == len(prefix) + 1]
            terms = [mass[s] - mass[prefix] + values[s] / beta for s in after]
            values[prefix] = beta * torch.stack(terms).logsumexp(0)
    return values


def optimal_logps(
    tokens: Sequence[Text],
    prior: Float[Tensor, " response"],
    reward: Float[Tensor, " response"],
    beta: float,
) -> Float[Tensor, " response"]:
    """log π*(text) as the product of π*(t | s) = π₀(t | s) exp((V(s t) − V(s))/β)."""
    mass, values = _prefix_mass(tokens, prior), soft_values(tokens, prior, reward, beta)
    found = []
    for text in tokens:
        cuts = [text[:k] for k in range(len(text) + 1)]
        steps = [
            mass[long] - mass[short] + (values[long] - values[short]) / beta
            for short, long in pairwise(cuts)
        ]
        found.append(torch.stack(steps).sum())
    return torch.stack(found)


def token_kl(
    tokens: Sequence[Text], p: Float[Tensor, " response"], q: Float[Tensor, " response"]
) -> Float[Tensor, ""]:
    """E_p Σ_t KL(p(· | s_t) ‖ q(· | s_t)): what a trainer adds up along its own samples."""
    mass, other = _prefix_mass(tokens, p), _prefix_mass(tokens, q)
    prefixes = [s for s in mass if s]
    terms = [
        mass[s].exp() * ((mass[s] - mass[s[:-1]]) - (other[s] - other[s[:-1]])) for s in prefixes
    ]
    return torch.stack(terms).sum()


def _prefix_mass(tokens: Sequence[Text], logps: Tensor) -> dict[Text, Tensor]:
    """log-probability that a text begins with each prefix."""
    groups: dict[Text, list[Tensor]] = {}
    for text, logp in zip(tokens, logps, strict=True):
        for k in range(len(text) + 1):
            groups.setdefault(text[:k], []).append(logp)
    return {prefix: torch.stack(found).logsumexp(0) for prefix, found in groups.items()}
