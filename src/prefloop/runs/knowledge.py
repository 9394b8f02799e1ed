"""What a run knows about what it has not tried: where responses lie, how new, how uncertain."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.config import Explore
from prefloop.explore._design import Design
from prefloop.explore._ensemble import Ensemble
from prefloop.novelty._white import Whitener
from prefloop.rng import key
from prefloop.runs.names import round_of
from prefloop.types import Candidates, Features, Novelty, Preference, Response

Rows = Float[np.ndarray, "response feature"]
LAYOUT = ("whitener", "design", "ensemble", "novelty")


class Knowledge:
    """Features of responses, and what is wanted of them: counts, widths, reward heads.

    The space is fixed by the first round's candidates, samples of π₀ unless they are a file's:
    centred, whitened, of length one. Only answered questions are counted. Features are computed for
    a whole round at once, so that they do not depend on who asks first, down to the last bit.
    """

    def __init__(
        self,
        encoder: Features,
        novelty: Novelty | None,
        candidates: Callable[[int], Sequence[Response]],
        *,
        wanted: Set[str],
        settings: Explore,
        seed: int,
    ) -> None:
        self.encoder, self.novelty, self.candidates = encoder, novelty, candidates
        self.whitener = Whitener()
        self.design = Design(ridge=settings.ridge) if wanted & {"features", "width"} else None
        self.ensemble = (
            Ensemble(members=settings.members, ridge=settings.ridge, seed=key(seed, "members"))
            if "members" in wanted
            else None
        )
        self._rounds: dict[int, dict[str, Any]] = {}

    def places(self, responses: Sequence[Response]) -> Rows:
        """Where the responses lie."""
        if not self.whitener.is_fitted:
            self.whitener.fit(self.encoder.features(self.candidates(1)))
        return np.stack([self._round(round_of(r.id))[r.id] for r in responses])

    def _round(self, number: int) -> dict[str, Any]:
        """Where all candidates of a round lie, by id; computed once."""
        if number not in self._rounds:
            drawn = self.candidates(number)
            rows = self.whitener.rows(self.encoder.features(drawn))
            self._rounds[number] = dict(zip((r.id for r in drawn), rows, strict=True))
        return self._rounds[number]

    def informed(self, options: Candidates) -> Candidates:
        """With what is wanted: members' scores, features in units of what is known."""
        rows = self.places(options.responses)
        if self.ensemble is not None:
            options = replace(options, scores=self.ensemble.scores(rows))
        if self.design is not None:
            options = replace(options, features=self.design.scaled(rows))
        return options

    def novelties(self, responses: Sequence[Response]) -> dict[str, float]:
        """1/√count of each response by id, before this round's are counted."""
        if self.novelty is None:
            raise ValueError("novelty was not asked for when the run began; set explore.novelty")
        return _by_id(responses, self.novelty.score(self.places(responses)))

    def widths(self, responses: Sequence[Response]) -> dict[str, float]:
        """‖φ(y) − ν‖ in Σ⁻¹ by id, ν being the mean of π₀'s features."""
        if self.design is None:
            raise ValueError("widths were not asked for when the run began; name a loss with them")
        rows = self.places(responses)
        return _by_id(responses, self.design.width(rows, np.zeros(rows.shape[1])))

    def learn(self, preferences: Sequence[Preference]) -> None:
        """Count what was asked about, and fit the heads to the answers."""
        a, b = ([getattr(row.query, side) for row in preferences] for side in "ab")
        first, second = self.places(a), self.places(b)
        if self.design is not None:
            self.design.add(first - second)
        if self.ensemble is not None:
            self.ensemble.add(first - second, np.array([row.p for row in preferences]))
            self.ensemble.fit()
        if self.novelty is not None:
            self.novelty.fit(np.concatenate([first, second]))
        self._rounds.clear()

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
        self._rounds.clear()
        for part in LAYOUT:
            if (owner := getattr(self, part)) is not None:
                mine = {k: v.numpy() for k, v in tensors.items() if k.startswith(part + "/")}
                owner.load_state_dict({k.partition("/")[2]: v for k, v in mine.items()})


def _by_id(
    responses: Sequence[Response], values: Float[np.ndarray, " response"]
) -> dict[str, float]:
    return dict(zip((r.id for r in responses), values.tolist(), strict=True))
