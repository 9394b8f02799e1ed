"""The regression of features onto coins, by a network with a random prior."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from prefloop.novelty._rows import Kinds
from prefloop.rng import key

WIDTH = 512
"""units of the hidden layer, and about as many separate counts as it can hold"""
STEPS = 500
"""of L-BFGS at most; it stops where a step changes the loss by less than ENOUGH"""
ENOUGH = 1e-6


@dataclass
class Normaliser:
    """Running mean and variance of the prior's outputs over the visits, one visit at a time.

        δ = p − μ,   μ += δ/n,   v = (v·n + δ²·n/(n+1)) / (n+1)

    v starts at 0.002 (the code of Lobel et al., samlobel/CFN).
    """

    mean: Float[np.ndarray, " output"]
    variance: Float[np.ndarray, " output"]
    visits: int = 0

    @classmethod
    def fresh(cls, outputs: int) -> "Normaliser":
        """As it is before the first visit."""
        return cls(np.zeros(outputs), np.full(outputs, 0.002))

    def update(self, values: Float[np.ndarray, "row output"]) -> None:
        """Take in these visits, in order."""
        for value in values:
            self.visits += 1
            n, gap = self.visits, value - self.mean
            self.mean = self.mean + gap / n
            self.variance = (self.variance * n + gap**2 * n / (n + 1)) / (n + 1)

    def standard(self, values: Float[np.ndarray, "row output"]) -> Float[np.ndarray, "row output"]:
        """(p − μ)/√(v + 10⁻⁴)."""
        standard: np.ndarray = (values - self.mean) / np.sqrt(self.variance + 1e-4)
        return standard


class Network(nn.Module):
    """Linear → LeakyReLU → Linear."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, WIDTH, dtype=torch.float64)
        self.out = nn.Linear(WIDTH, outputs, dtype=torch.float64)

    def units(self, rows: Float[Tensor, "row d"]) -> Float[Tensor, "row unit"]:
        """What the last layer sees."""
        found: Tensor = nn.functional.leaky_relu(self.hidden(rows), 0.01)
        return found

    def forward(self, rows: Float[Tensor, "row d"]) -> Float[Tensor, "row output"]:
        """Its value at each row."""
        found: Tensor = self.out(self.units(rows))
        return found


class NetworkReadout:
    """f = a two-layer network + a frozen random one of the same shape, standardised, /√ridge.

    The sum is regressed onto all coins so far, all at once and until nothing changes: from the
    same start every time, so that the result depends on what came and not on when it was fitted.
    The last layer starts at its exact ridge solution and at zero for the unseen, where the prior
    remains: they read about 1/√ridge. Holds about 512 separate counts; beyond that, `ridge` with a
    lift is the better readout, and always the quicker one.
    """

    _rows: Float[np.ndarray, "kind d"]
    _counts: Float[np.ndarray, " kind"]
    _sums: Float[np.ndarray, "kind coin"]
    _normaliser: Normaliser
    _network: Network | None

    def __init__(self, *, ridge: float, coins: int, seed: int) -> None:
        self.ridge, self.coins, self.seed = ridge, coins, seed
        self._forget()

    def fit(self, kinds: Kinds, coins: Float[np.ndarray, "row coin"]) -> None:
        """Take in these visits, and train on all so far."""
        width = kinds.rows.shape[1]
        self._rows = np.concatenate([self._rows.reshape(-1, width), kinds.rows])
        self._counts = np.concatenate([self._counts, kinds.counts])
        self._sums = np.concatenate([self._sums, kinds.sums(coins)])
        self._normaliser.update(self._raw_prior(kinds.rows)[kinds.place])
        self._network = self._trained()

    def outputs(self, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row coin"]:
        """f of each row."""
        prior = self._prior(rows)
        return prior if self._network is None else prior + _values(self._network, rows)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The visits, the normaliser and the trained weights; empty before the first fit."""
        if self._network is None:
            return {}
        visits = {"rows": self._rows, "counts": self._counts, "sums": self._sums}
        running = {
            "mean": self._normaliser.mean,
            "variance": self._normaliser.variance,
            "normalised": np.array(self._normaliser.visits),
        }
        weights = {name: value.numpy() for name, value in self._network.state_dict().items()}
        return {**visits, **running, **weights}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        if not state:
            self._forget()
            return
        self._rows, self._counts, self._sums = state["rows"], state["counts"], state["sums"]
        visits = int(state["normalised"])
        self._normaliser = Normaliser(state["mean"], state["variance"], visits)
        self._network = self._new("network", self._rows.shape[1])
        own = self._network.state_dict()
        self._network.load_state_dict({name: torch.tensor(state[name]) for name in own})

    def _forget(self) -> None:
        self._rows, self._counts = np.zeros((0, 0)), np.zeros(0)
        self._sums, self._normaliser = np.zeros((0, self.coins)), Normaliser.fresh(self.coins)
        self._network = None

    def _trained(self) -> Network:
        """Minimise Σ count·‖mean coin − f‖², by L-BFGS over all weights."""
        network = self._new("network", self._rows.shape[1])
        rows, counts = torch.tensor(self._rows), torch.tensor(self._counts)[:, None]
        wanted = torch.tensor(self._sums) / counts - torch.tensor(self._prior(self._rows))
        _solve_last_layer(network, rows, counts, wanted, self.ridge)
        optimiser = torch.optim.LBFGS(
            network.parameters(),
            max_iter=STEPS,
            tolerance_grad=0,
            tolerance_change=ENOUGH,
            line_search_fn="strong_wolfe",
        )
        scale = counts.sum() * self.coins

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = (counts * (network(rows) - wanted) ** 2).sum() / scale
            torch.autograd.backward(value)
            reached: Tensor = value.detach()
            return reached

        with torch.enable_grad():
            optimiser.step(loss)  # type: ignore[no-untyped-call]
        return network

    def _prior(self, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row coin"]:
        prior: np.ndarray = self._normaliser.standard(self._raw_prior(rows)) / np.sqrt(self.ridge)
        return prior

    def _raw_prior(self, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row coin"]:
        return _values(self._new("prior", rows.shape[1]), rows)

    def _new(self, name: str, width: int) -> Network:
        """A network as it starts, orthogonal: a function of seed, name and shape."""
        draw = torch.Generator().manual_seed(key(self.seed, "coin_flip", name))
        made = Network(width, self.coins)
        for layer, gain in ((made.hidden, 2**0.5), (made.out, 1.0)):
            nn.init.orthogonal_(layer.weight, gain, generator=draw)
            nn.init.zeros_(layer.bias)
        return made


def _values(network: Network, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row coin"]:
    with torch.no_grad():
        found: np.ndarray = network(torch.tensor(rows)).numpy()
    return found


@torch.no_grad()
def _solve_last_layer(
    network: Network,
    rows: Float[Tensor, "kind d"],
    counts: Float[Tensor, "kind 1"],
    wanted: Float[Tensor, "kind coin"],
    ridge: float,
) -> None:
    """Ridge regression of what is wanted on the hidden units and a constant."""
    hidden = torch.cat([network.units(rows), torch.ones_like(counts)], dim=1)
    whole = hidden.T @ (counts * hidden) + ridge * torch.eye(hidden.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(whole, hidden.T @ (counts * wanted))
    network.out.weight.copy_(solved[:-1].T)
    network.out.bias.copy_(solved[-1])
