"""The encoder and critic that see a reward model's states of two views of each prompt."""

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as collective
from torch.nn.functional import softplus

from prefloop.batches import ViewCodes

LEAST = 1e-7
"""added to every standard deviation"""


class ViewEncoder(nn.Module):
    """p(z|v) = N(μ(v), diag σ²(v)) of a state, and a critic T(z₁, z₂) of every pair of draws.

    μ and σ are MLPs of three layers on the reward model's last-token states, as in RLP-UML (Lang et
    al. 2024, arXiv:2403.19279), whose widths are not published; σ = softplus + 1e-7 and a critic of
    three layers are those of the code of Federici et al. 2020 (arXiv:2002.07017).
    """

    def __init__(
        self,
        width: int,
        *,
        code: int | None = None,
        hidden: int | None = None,
        critic_hidden: int | None = None,
        seed: int = 0,
    ) -> None:
        """Codes of 256 dimensions and layers of 1024, less for small states; weights by `seed`."""
        super().__init__()
        code, hidden = code or min(256, width), hidden or min(1024, 4 * width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.mean, self.spread = _layers(width, hidden, code), _layers(width, hidden, code)
            self.critic = Critic(code, critic_hidden or hidden)

    def forward(
        self,
        states_1: Float[Tensor, "view width"],
        states_2: Float[Tensor, "view width"],
        generator: torch.Generator,
    ) -> ViewCodes:
        """The codes, and the critic's scores of one draw from each, second views of all ranks.

        Every rank must bring as many views, and a generator of its own.
        """
        mean_1, std_1 = self.posterior(states_1)
        mean_2, std_2 = self.posterior(states_2)
        first, second = (
            mean + std * _noise(mean, generator) for mean, std in ((mean_1, std_1), (mean_2, std_2))
        )
        everyone, place = _everyones(second)
        return ViewCodes(
            mean_1=mean_1,
            std_1=std_1,
            mean_2=mean_2,
            std_2=std_2,
            score=self.critic(first, everyone),
            own=place + torch.arange(len(first), device=first.device),
        )

    def posterior(
        self, states: Float[Tensor, "view width"]
    ) -> tuple[Float[Tensor, "view code"], Float[Tensor, "view code"]]:
        """μ and σ of each state."""
        return self.mean(states), softplus(self.spread(states)) + LEAST


class Critic(nn.Module):
    """T(z₁, z₂): three layers on both codes side by side, for every pair of a first and a second.

    The first layer is linear in either code, so it sees each once and not once a pair.
    """

    def __init__(self, code: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(code, hidden)
        self.second = nn.Linear(code, hidden, bias=False)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(
        self, first: Float[Tensor, "view code"], second: Float[Tensor, "other code"]
    ) -> Float[Tensor, "view other"]:
        """Row i: first code i with every second code."""
        pairs = self.first(first)[:, None] + self.second(second)[None]
        scores: Tensor = self.rest(pairs).squeeze(2)
        return scores


def _layers(width: int, hidden: int, code: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
        nn.Linear(hidden, code),
    )


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _everyones(
    codes: Float[Tensor, "view code"],
) -> tuple[Float[Tensor, "other code"], int]:
    """All ranks' codes, gradients included, and where this rank's begin."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return codes, 0
    found = collective.all_gather(codes)  # type: ignore[no-untyped-call]
    return torch.cat(found), distributed.get_rank() * len(codes)
