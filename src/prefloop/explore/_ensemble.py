"""An epistemic reward head: linear rewards that agree where there are labels, and only there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from prefloop.explore._anchored import Anchored, Thetas
from prefloop.explore._rows import Rows, checked, positive
from prefloop.rng import stream

LARGEST = 2**24
"""numbers in the matrices that are solved together"""


@dataclass(kw_only=True)
class Ensemble:
    """Linear Bradley–Terry rewards on frozen features, about as far apart as the labels allow.

        θ_m = argmin Σ_n w_mn BCE(p_n, σ(θ·δ_n)) + ridge/2 ‖θ − θ⁰_m‖²,  δ_n = φ(a_n) − φ(b_n)

    Each member has a prior draw θ⁰_m ~ N(0, I/ridge) as its anchor and weighs pair n by w_mn ~
    Exp(1), a Bayesian bootstrap. On 0/1 labels of a Bradley–Terry oracle the members then spread
    like the posterior; where nothing was asked they keep the prior's spread (anchors: Osband et
    al. 2018, arXiv:1806.03335; for preferences Dwaracherla et al. 2024, arXiv:2402.00396). Soft
    labels that lie on σ leave the bootstrap nothing to vary, and the members closer together than
    the posterior. A pair's weights depend on its number only: new labels leave old draws alone.
    """

    members: int = 16
    ridge: float = 1.0
    seed: int = 0
    _differences: Rows | None = field(default=None, init=False)
    _p: Float[np.ndarray, " pair"] = field(default_factory=lambda: np.zeros(0), init=False)
    _thetas: Thetas | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        positive("ridge", self.ridge)
        if self.members < 2:
            raise ValueError(
                f"members must be at least 2 to disagree, got {self.members}; raise explore.members"
            )

    def add(
        self, differences: Float[np.ndarray, "pair feature"], p: Float[np.ndarray, " pair"]
    ) -> None:
        """Take answers in: the differences φ(a) − φ(b), and P(a ≻ b) in [0, 1]."""
        rows = checked(differences, self._dimension)
        outside = p[~((p >= 0) & (p <= 1))]
        if len(outside):
            raise ValueError(
                f"p must lie in [0, 1], got {outside[0]}; it is P(a ≻ b), 0.5 for a tie, and a "
                "label that could not be had is left out"
            )
        known = rows[:0] if self._differences is None else self._differences
        self._differences = np.concatenate([known, rows])
        self._p = np.concatenate([self._p, p.astype(np.float64)])

    def fit(self) -> None:
        """Bring every member to its minimum, from where it stands."""
        if self._differences is None:
            return
        start = self._now(self._differences.shape[1])
        found = start.copy()
        for some in self._together():
            problem = Anchored(
                rows=self._differences,
                p=self._p,
                weights=self._weights()[some],
                anchors=self._anchors(start.shape[1])[some],
                ridge=self.ridge,
            )
            found[some] = problem.minimum(start[some])
        self._thetas = found

    def scores(
        self, features: Float[np.ndarray, "candidate feature"]
    ) -> Float[np.ndarray, "member candidate"]:
        """Every member's reward of each row. Before the first fit: of the priors."""
        rows = checked(features, self._dimension)
        return np.asarray(self._now(rows.shape[1]) @ rows.T)

    def mean(
        self, features: Float[np.ndarray, "candidate feature"]
    ) -> Float[np.ndarray, " candidate"]:
        """The members' mean reward of each row."""
        return np.asarray(self.scores(features).mean(0))

    def state_dict(self) -> dict[str, np.ndarray]:
        """The answers taken in, and where the members stand."""
        if self._differences is None:
            return {}
        thetas = self._now(self._differences.shape[1])
        return {"differences": self._differences, "p": self._p, "thetas": thetas}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put them back; an empty mapping forgets everything."""
        thetas = state.get("thetas")
        if thetas is not None and len(thetas) != self.members:
            raise ValueError(
                f"members must be the {len(thetas)} that were fitted, got {self.members}; set "
                f"explore.members={len(thetas)}, or start a new run"
            )
        self._differences, self._p = state.get("differences"), state.get("p", np.zeros(0))
        self._thetas = thetas

    @property
    def _dimension(self) -> int | None:
        return None if self._differences is None else self._differences.shape[1]

    def _now(self, dimension: int) -> Thetas:
        return self._anchors(dimension) if self._thetas is None else self._thetas

    def _anchors(self, dimension: int) -> Thetas:
        rows = [stream(self.seed, "anchor", m) for m in range(self.members)]
        drawn = np.stack([rng.standard_normal(dimension) for rng in rows])
        return np.asarray(drawn / np.sqrt(self.ridge))

    def _weights(self) -> Float[np.ndarray, "member pair"]:
        rows = [stream(self.seed, "weight", m) for m in range(self.members)]
        return np.stack([rng.standard_exponential(len(self._p)) for rng in rows])

    def _together(self) -> Iterator[slice]:
        """The members in portions whose matrices fit in memory."""
        pairs = len(self._p)
        size = max(1, LARGEST // max(1, pairs * min(pairs, self._dimension or 1)))
        for start in range(0, self.members, size):
            yield slice(start, start + size)
