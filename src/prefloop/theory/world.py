"""Finite worlds: a few prompts, a few responses, and everything known about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prefloop.batches import PairLogps
from prefloop.types import Missing, Prompt, Response


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Every prompt with every response, the law π₀ they start from, and who beats whom.

    It is a `Scorer` where preferences follow a reward. All prompts are equally frequent.
    """

    prior: Float[Tensor, "prompt response"]
    """log π₀(response | prompt)"""
    preference: Float[Tensor, "prompt response response"]
    """P(row ≻ column)"""
    tokens: tuple[tuple[int, ...], ...]
    """each response as tokens, EOS included"""
    reward: Float[Tensor, "prompt response"] | None = None
    """r, where P = σ(r − r'); None where preferences follow no reward"""
    features: Float[Tensor, "prompt response feature"] | None = None

    def __post_init__(self) -> None:
        if len(set(self.tokens)) != self.prior.shape[1]:
            raise ValueError(
                f"each of the {self.prior.shape[1]} responses needs tokens of its own, got "
                f"{len(set(self.tokens))} different ones"
            )
        mass = self.prior.exp().sum(-1)
        if not torch.allclose(mass, torch.ones_like(mass)):
            raise ValueError(f"prior must be log-probabilities, got mass {mass.tolist()}")
        both = self.preference + self.preference.mT
        if not torch.allclose(both, torch.ones_like(both)):
            raise ValueError("P(i ≻ j) + P(j ≻ i) must be 1 for every pair of responses")

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """Prompt x has the one token x."""
        return tuple(Prompt(text=f"prompt {x}", tokens=(x,)) for x in range(len(self.prior)))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The responses' tokens, written out."""
        return tuple(" ".join(map(str, tokens)) for tokens in self.tokens)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {text: y for y, text in enumerate(self.texts)}

    def response(self, x: int, y: int, **fields: object) -> Response:
        """Response y to prompt x; the same id however often it is drawn."""
        return Response(
            prompt=self.prompts[x],
            text=self.texts[y],
            tokens=self.tokens[y],
            id=f"{x}.{y}",
            **fields,  # type: ignore[arg-type]
        )

    def place(self, response: Response) -> tuple[int, int]:
        """The (prompt, response) numbers of a response of this world."""
        return response.prompt.tokens[0], self._places[response.text]

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        """The true reward: the world as a `Scorer`."""
        reward = self.known_reward.tolist()
        return [reward[x][y] for x, y in map(self.place, responses)]

    @property
    def known_reward(self) -> Float[Tensor, "prompt response"]:
        """The reward; ValueError where preferences follow none."""
        if self.reward is None:
            raise ValueError("this world has preferences but no reward; ask about pairs instead")
        return self.reward

    def pairs(self, logps: Float[Tensor, "prompt response"]) -> PairLogps:
        """All ordered pairs of all prompts under the policy's log-probabilities."""
        x, i, j = self._pair_index
        length = torch.tensor([float(len(t)) for t in self.tokens], dtype=logps.dtype)
        return PairLogps(
            a=logps[x, i],
            b=logps[x, j],
            ref_a=self.prior[x, i],
            ref_b=self.prior[x, j],
            p=self.preference[x, i, j],
            len_a=length[i],
            len_b=length[j],
        )

    @cached_property
    def _pair_index(self) -> Int[Tensor, "3 pair"]:
        prompts, responses = self.prior.shape
        ranges = [torch.arange(n) for n in (prompts, responses, responses)]
        return torch.cartesian_prod(*ranges).T


def bradley_terry_world(
    prior_logits: Float[Tensor, "prompt response"],
    reward: Float[Tensor, "prompt response"],
    *,
    tokens: Sequence[tuple[int, ...]] | None = None,
    features: Float[Tensor, "prompt response feature"] | None = None,
) -> World:
    """A world whose annotators follow P(i ≻ j) = σ(r_i − r_j)."""
    preference = torch.sigmoid(reward[:, :, None] - reward[:, None, :])
    world = preference_world(prior_logits, preference, tokens=tokens)
    return World(**{**vars(world), "reward": reward, "features": features})


def preference_world(
    prior_logits: Float[Tensor, "prompt response"],
    preference: Float[Tensor, "prompt response response"],
    *,
    tokens: Sequence[tuple[int, ...]] | None = None,
) -> World:
    """A world with any P(i ≻ j), cycles included; responses are single tokens unless given."""
    single = tuple((y,) for y in range(prior_logits.shape[1]))
    return World(
        prior=prior_logits.double().log_softmax(-1),
        preference=preference.double(),
        tokens=tuple(tokens) if tokens else single,
    )


def random_world(
    generator: torch.Generator, *, prompts: int = 1, responses: int = 10, uniform: bool = False
) -> World:
    """Rewards from N(0, 1); a prior of N(0, 1) logits, or a uniform one."""
    shape = (prompts, responses)
    reward, logits = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in "rl")
    return bradley_terry_world(torch.zeros_like(logits) if uniform else logits, reward)


def bandits(
    seeds: Iterable[int],
    *,
    responses: int = 10,
    uniform: bool = False,
    rewards: Literal["normal", "unit"] = "normal",
) -> World:
    """A world of each seed, one prompt each: many bandits that one lab runs side by side.

    Rewards are N(0, 1), or uniform between 0 and 1 as in VPO's bandit (arXiv:2405.19320).
    """
    logits, reward = [], []
    for seed in seeds:
        one = random_world(
            torch.Generator().manual_seed(seed), responses=responses, uniform=uniform
        )
        logits.append(one.prior)
        reward.append(one.known_reward)
    levels = torch.cat(reward)
    if rewards == "unit":
        levels = torch.special.ndtr(levels)
    return bradley_terry_world(torch.cat(logits), levels)


def sequences(vocabulary: int = 3, length: int = 3) -> tuple[tuple[int, ...], ...]:
    """All texts of at most `length` tokens; the last token of the vocabulary is EOS.

    A text ends with EOS or at full length, as a sampler's texts do: 15 for the defaults.
    """
    end = vocabulary - 1
    found = []
    for size in range(1, length + 1):
        for tokens in product(range(vocabulary), repeat=size):
            if end not in tokens[:-1] and (size == length or tokens[-1] == end):
                found.append(tokens)
    return tuple(found)


def sequence_logps(
    table: Float[Tensor, "state token"], tokens: Sequence[tuple[int, ...]]
) -> Float[Tensor, " response"]:
    """log π of each text when the logits depend on the previous token; state 0 is the start."""
    steps = table.log_softmax(-1)
    paths = [sum(steps[s, t] for s, t in zip(_states(y), y, strict=True)) for y in tokens]
    return torch.stack([torch.as_tensor(path) for path in paths])


def _states(tokens: tuple[int, ...]) -> tuple[int, ...]:
    return (0, *(token + 1 for token in tokens[:-1]))


def sequence_world(
    table: Float[Tensor, "state token"], reward: Float[Tensor, " response"], length: int = 3
) -> World:
    """The small autoregressive world: one prompt, every text, a reward a text."""
    tokens = sequences(table.shape[1], length)
    logps = sequence_logps(table.double(), tokens)
    return bradley_terry_world(logps[None], reward[None].double(), tokens=tokens)
