"""The testbed's own features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from prefloop.testbed import lsa
from prefloop.types import Response


@dataclass(frozen=True, kw_only=True)
class Lsa:
    """What prompt and response are about: 192 latent semantic dimensions of movie reviews.

    For the testbed's texts, and quick: no model runs. A linear reward head on them orders more
    pairs as the gold reward does than one on the tiny model's hidden states.
    """

    def features(self, responses: Sequence[Response]) -> Float[np.ndarray, "response feature"]:
        return self._model.vectors([response.full_text for response in responses])

    @cached_property
    def _model(self) -> lsa.Lsa:
        return lsa.Lsa.load()
