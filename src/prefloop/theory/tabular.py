"""A policy over a finite world, with the interface of a transformer policy."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from prefloop.theory.world import World, sequence_logps
from prefloop.types import Prompt, Response, SamplingSettings, Source


class Table(nn.Module):
    """One free logit a response: any law can be reached."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.logits = nn.Parameter(world.prior.clone())

    def forward(self) -> Float[Tensor, "prompt response"]:
        """Log-probabilities of every response to every prompt."""
        return self.logits.log_softmax(-1)


class Linear(nn.Module):
    """Log-linear: π ∝ π₀ · exp(⟨θ, φ⟩), the class in which a linear reward has its optimum."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.register_buffer("prior", world.prior)
        self.register_buffer("features", _features(world))
        self.theta = nn.Parameter(torch.zeros(self.features.shape[-1], dtype=torch.float64))

    prior: Tensor
    features: Tensor

    def forward(self) -> Float[Tensor, "prompt response"]:
        """Log-probabilities of every response to every prompt."""
        return (self.prior + self.features @ self.theta).log_softmax(-1)


class Head(nn.Module):
    """Neural softmax: π ∝ π₀ · exp(f(φ)), f a small network that starts at zero."""

    def __init__(self, world: World, *, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("prior", world.prior)
        self.register_buffer("features", _features(world))
        inner = nn.Linear(self.features.shape[-1], width, dtype=torch.float64)
        outer = nn.Linear(width, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(outer.weight)
        self.head = nn.Sequential(inner, nn.Tanh(), outer)

    prior: Tensor
    features: Tensor

    def forward(self) -> Float[Tensor, "prompt response"]:
        """Log-probabilities of every response to every prompt."""
        bonus: Tensor = self.head(self.features).squeeze(-1)
        return (self.prior + bonus).log_softmax(-1)


class Tokens(nn.Module):
    """Autoregressive: logits of the next token given the last one, shared by all texts."""

    def __init__(self, world: World, table: Float[Tensor, "state token"]) -> None:
        super().__init__()
        self.tokens = world.tokens
        self.logits = nn.Parameter(table.double().clone())

    def forward(self) -> Float[Tensor, "prompt response"]:
        """Log-probabilities of every text, summed over its tokens."""
        return sequence_logps(self.logits, self.tokens)[None]


class TabularPolicy:
    """A finite law behind `types.Policy`; `model` holds what is learned, in float64."""

    def __init__(
        self,
        world: World,
        model: nn.Module | None = None,
        *,
        version: int = 0,
        source: Source = "policy",
    ) -> None:
        self.world = world
        self.model = Table(world) if model is None else model
        self.version = version
        self.source: Source = source
        self._listed: dict[int, list[Response]] = {}
        self._listed_at: Tensor | None = None

    def table(self) -> Float[Tensor, "prompt response"]:
        """log π of everything, without a gradient."""
        with torch.no_grad():
            found: Tensor = self.model()
        return found

    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int,
        settings: SamplingSettings,
        rng: np.random.Generator,
    ) -> list[list[Response]]:
        """n independent responses to each prompt; the temperature is that of whole responses."""
        self._check(settings)
        table = self.table()
        drawn = (table / settings.temperature).log_softmax(-1)
        rows = [prompt.tokens[0] for prompt in prompts]
        edges = drawn.exp().cumsum(-1).numpy()[rows]
        picks = (rng.random((len(rows), n, 1)) * edges[:, None, -1:] >= edges[:, None, :]).sum(-1)
        own, law = table.tolist(), drawn.tolist()
        return [
            [self._response(x, y, own[x][y], law[x][y]) for y in picked]
            for x, picked in zip(rows, picks.tolist(), strict=True)
        ]

    def every(self, prompts: Sequence[Prompt]) -> list[list[Response]]:
        """Each response of the world once, in its order, with its log-probability."""
        table = self.table()
        if self._listed_at is None or not torch.equal(table, self._listed_at):
            self._listed, self._listed_at = {}, table
        for x in {prompt.tokens[0] for prompt in prompts} - self._listed.keys():
            logps = enumerate(table[x].tolist())
            self._listed[x] = [self._response(x, y, logp, logp) for y, logp in logps]
        return [self._listed[prompt.tokens[0]] for prompt in prompts]

    def logps(self, responses: Sequence[Response]) -> Float[Tensor, " response"]:
        """log π(response | prompt), one per response; differentiable."""
        places = torch.tensor([self.world.place(r) for r in responses]).reshape(-1, 2)
        found: Tensor = self.model()
        return found[places[:, 0], places[:, 1]]

    def _response(self, x: int, y: int, logp: float, logp_sampling: float) -> Response:
        return self.world.response(
            x,
            y,
            logp=logp,
            logp_sampling=logp_sampling,
            source=self.source,
            policy_version=self.version,
        )

    def _check(self, settings: SamplingSettings) -> None:
        if settings.top_p < 1:
            raise ValueError(f"the lab samples without truncation: top_p must be 1, got {settings}")
        longest = max(map(len, self.world.tokens))
        if settings.max_new_tokens < longest:
            raise ValueError(
                f"max_new_tokens must be at least {longest}, the longest response, got "
                f"{settings.max_new_tokens}"
            )


def _features(world: World) -> Tensor:
    if world.features is None:
        raise ValueError("this model needs a world with features; give World(features=…)")
    return world.features.double()
