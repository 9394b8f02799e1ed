"""What a run knows about what it has not tried: where responses lie, how new, how uncertain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.explore._design import Design
from prefloop.explore._ensemble import Ensemble
from prefloop.novelty._white import Whitener
from prefloop.rng import key
from prefloop.types import Candidates, Features, Novelty, Preference, Response

Rows = Float[np.ndarray, "response feature"]
LAYOUT = ("whitener", "design", "ensemble", "novelty")


class Knowledge:
    """Features of responses, and what was counted and fitted on them round by round.

    The space is fixed by the first round's candidates, samples of π₀ unless they are a file's:
    centred, whitened, of length one. Only answered questions are counted.
    """

    def __init__(
        self, encoder: Features, novelty: Novelty | None, *, members: int, ridge: float, seed: int
    ) -> None:
        self.encoder, self.novelty = encoder, novelty
        self.whitener = Whitener()
        self.design = Design(ridge=ridge)
        self.ensemble = Ensemble(members=members, ridge=ridge, seed=key(seed, "members"))
        self._cache: dict[str, Any] = {}

    def begin(self, responses: Sequence[Response]) -> None:
        """Fix the space, unless it is."""
        if not self.whitener.is_fitted:
            self.whitener.fit(self.encoder.features(responses))

    def places(self, responses: Sequence[Response]) -> Rows:
        """Where the responses lie; computed once per response."""
        left = [r for r in responses if r.id not in self._cache]
        if left:
            rows = self.whitener.rows(self.encoder.features(left))
            self._cache |= dict(zip((r.id for r in left), rows, strict=True))
        return np.stack([self._cache[r.id] for r in responses])

    def informed(self, options: Candidates) -> Candidates:
        """The candidates with every member's score and with features in units of what is known."""
        rows = self.places(options.responses)
        return replace(
            options, scores=self.ensemble.scores(rows), features=self.design.scaled(rows)
        )

    def novelties(self, responses: Sequence[Response]) -> dict[str, float]:
        """1/√count of each response by id, before this round's are counted."""
        if self.novelty is None:
            return {}
        return _by_id(responses, self.novelty.score(self.places(responses)))

    def widths(self, responses: Sequence[Response]) -> dict[str, float]:
        """‖φ(y) − ν‖ in Σ⁻¹ by id, ν being the mean of π₀'s features."""
        rows = self.places(responses)
        return _by_id(responses, self.design.width(rows, np.zeros(rows.shape[1])))

    def learn(self, preferences: Sequence[Preference]) -> None:
        """Count what was asked about, and fit the heads to the answers."""
        a, b = ([getattr(row.query, side) for row in preferences] for side in "ab")
        first, second = self.places(a), self.places(b)
        self.design.add(first - second)
        self.ensemble.add(first - second, np.array([row.p for row in preferences]))
        self.ensemble.fit()
        if self.novelty is not None:
            self.novelty.fit(np.concatenate([first, second]))
        self._cache.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that was learned, as named tensors."""
        return {
            f"{part}/{name}": torch.from_numpy(np.array(value))
            for part in LAYOUT
            if (owner := getattr(self, part)) is not None
            for name, value in owner.state_dict().items()
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Put it back; an empty mapping forgets everything."""
        self._cache.clear()
        for part in LAYOUT:
            if (owner := getattr(self, part)) is not None:
                mine = {k: v.numpy() for k, v in tensors.items() if k.startswith(part + "/")}
                owner.load_state_dict({k.partition("/")[2]: v for k, v in mine.items()})


def _by_id(
    responses: Sequence[Response], values: Float[np.ndarray, " response"]
) -> dict[str, float]:
    return dict(zip((r.id for r in responses), values.tolist(), strict=True))
