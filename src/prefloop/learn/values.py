"""What a model says of responses, found by response id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.learn.facts import Known
from prefloop.types import Response


@dataclass(frozen=True, kw_only=True)
class Logps:
    """One row a response: the policy's log-probability, or a reward model's heads."""

    values: Float[Tensor, "*response"]
    place: Mapping[str, int]

    def of(self, responses: Sequence[Response]) -> Float[Tensor, "*row"]:
        """One row per response asked for, differentiable."""
        places = [self.place[r.id] for r in responses]
        index = torch.tensor(places, dtype=torch.long, device=self.values.device)
        return self.values.index_select(0, index)

    def column(self, values: Sequence[float | int]) -> Float[Tensor, " row"]:
        """Constants of the same dtype and device."""
        return torch.tensor(values, dtype=self.values.dtype, device=self.values.device)

    def known(
        self, values: Known, responses: Sequence[Response], what: str
    ) -> Float[Tensor, " row"]:
        """Facts of the responses as constants; ValueError where one is not known."""
        lacks = [r.id for r in responses if r.id not in values]
        if lacks:
            raise ValueError(
                f"every response needs its {what}, got none for {lacks[0]!r} and {len(lacks) - 1} "
                f"others; put it in Facts({what}=…), as `learner.asks` lists them"
            )
        return self.column([values[r.id] for r in responses])

    @classmethod
    def joined(cls, parts: Sequence["Logps"]) -> "Logps":
        """What several micro-batches said, as one."""
        names = [name for part in parts for name in part.place]
        place = {name: i for i, name in enumerate(names)}
        return cls(values=torch.cat([part.values for part in parts]), place=place)


@dataclass(frozen=True, kw_only=True)
class TokenValues:
    """One row a token: the policy's log-probabilities, and a critic's values where there is one."""

    y: Float[Tensor, " token"]
    place: Mapping[str, tuple[int, int]]
    """response id → where its tokens begin and end"""
    value: Float[Tensor, " token"] | None = None

    @classmethod
    def beside(
        cls,
        responses: Sequence[Response],
        y: Float[Tensor, " token"],
        value: Float[Tensor, " token"] | None,
    ) -> "TokenValues":
        """Flat values, response after response in this order."""
        place, at = {}, 0
        for response in responses:
            place[response.id] = (at, at + len(response.tokens))
            at += len(response.tokens)
        return cls(y=y, place=place, value=value)

    def rows(
        self, flat: Float[Tensor, " token"], responses: Sequence[Response]
    ) -> Float[Tensor, " row"]:
        """`y` or `value` at the responses' tokens, in this order."""
        return torch.cat([flat[slice(*self.place[r.id])] for r in responses])

    @classmethod
    def joined(cls, parts: Sequence["TokenValues"]) -> "TokenValues":
        """What several micro-batches said, as one."""
        place: dict[str, tuple[int, int]] = {}
        at = 0
        for part in parts:
            place |= {name: (at + a, at + b) for name, (a, b) in part.place.items()}
            at += len(part.y)
        values = [part.value for part in parts if part.value is not None]
        y = torch.cat([part.y for part in parts])
        return cls(y=y, place=place, value=torch.cat(values) if values else None)
