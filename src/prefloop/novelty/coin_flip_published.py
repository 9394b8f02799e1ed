"""The count head as it was published with COPO, so that anyone can compare."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from jaxtyping import Float

from prefloop.novelty._rows import checked

exempt = {
    "visits_read_as_one_over_the_root_of_their_number": "one pass of a 32-unit head over fresh "
    "flips reads almost the same for 1 and for 64 visits",
    "what_was_never_seen_reads_like_the_ridge_alone": "it has no prior, and reads about 0.1 there",
    "counts_add_up_over_fits": "each fit begins with a new head",
}


@dataclass(kw_only=True, eq=False)
class CoinFlipPublished:
    """What COPO's official code computes: not a count (arXiv:2501.12735, Baichenjia/COPO).

        score = (mean f²)^exponent,   f: Dropout(0.1) → Linear(d, 32) → LeakyReLU → Linear(32, 20)

    A new head at every fit, one epoch of AdamW (10⁻⁴, cosine, warm-up 0.1, batches of 8) towards
    coins that are redrawn for every row and the same on every rank, without a prior; so it reads
    alike for 1 and for 256 visits, and earlier fits are forgotten. Dropout stays on when it scores;
    its mask is drawn from the row's own bytes, so that a run can be continued. `coin_flip` is
    the estimator that the paper means.
    """

    exponent: float = 0.5
    """η; the published default of 0 made every bonus 1"""
    seed: int = 42
    _width: int | None = field(default=None, init=False, repr=False)
    _head: Any = field(default=None, init=False, repr=False)

    def fit(self, features: Float[np.ndarray, "response feature"]) -> None:
        """Forget what was counted, and train a new head on these occurrences."""
        rows = checked(features, self._width)
        if not len(rows):
            return
        from prefloop.novelty._head import trained

        self._width, self._head = rows.shape[1], trained(rows, self.seed)

    def score(
        self, features: Float[np.ndarray, "response feature"]
    ) -> Float[np.ndarray, " response"]:
        """(mean f²)^exponent of each row, behind dropout; changes nothing."""
        import torch

        from prefloop.novelty import _head

        rows = checked(features, self._width)
        head = self._head or _head.new(rows.shape[1], self.seed)
        kept = np.array([_kept(row, _head.DROPOUT) for row in rows]).reshape(rows.shape)
        with torch.no_grad():
            found = head.read(torch.tensor(rows * kept, dtype=torch.float32)).double()
        bonus: np.ndarray = (found**2).mean(1).numpy() ** self.exponent
        return bonus

    def state_dict(self) -> dict[str, np.ndarray]:
        """The head's weights; empty before the first fit."""
        if self._head is None:
            return {}
        return {name: value.numpy().copy() for name, value in self._head.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        self._width, self._head = None, None
        if state:
            import torch

            from prefloop.novelty._head import new

            self._width = state["hidden.weight"].shape[1]
            self._head = new(self._width, self.seed)
            self._head.load_state_dict({name: torch.tensor(state[name]) for name in state})


def _kept(row: Float[np.ndarray, " d"], rate: float) -> Float[np.ndarray, " d"]:
    """Dropout's mask for a row: 0, or 1/(1 − rate)."""
    seed = int.from_bytes(sha256(row.tobytes()).digest()[:8], "big")
    return (np.random.default_rng(seed).random(len(row)) >= rate) / (1 - rate)
