"""The count head that was published with COPO, and its one pass of training."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

HIDDEN, COINS = 32, 20
DROPOUT, RATE, BATCH, WARMUP = 0.1, 1e-4, 8, 0.1


class Head(nn.Module):
    """Dropout → Linear → LeakyReLU → Linear: 32 units, 20 coins (Baichenjia/COPO @837fab4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)
        self.hidden = nn.Linear(width, HIDDEN, dtype=torch.float32)
        self.out = nn.Linear(HIDDEN, COINS, dtype=torch.float32)

    def forward(self, rows: Float[Tensor, "*row d"]) -> Float[Tensor, "*row coin"]:
        """The coins' regression; the published bonus is the root of its mean square."""
        return self.read(self.dropout(rows))

    def read(self, rows: Float[Tensor, "*row d"]) -> Float[Tensor, "*row coin"]:
        """The same for rows that went through dropout already."""
        found: Tensor = self.out(nn.functional.leaky_relu(self.hidden(rows), 0.01))
        return found


def flips(seed: int) -> Iterator[Float[np.ndarray, "1 coin"]]:
    """The published coins of a batch of one: numpy's old generator, seeded alike on every rank."""
    draw = np.random.RandomState(seed)
    while True:
        yield 2.0 * draw.binomial(1, 0.5, size=(1, COINS)) - 1.0


def new(width: int, seed: int) -> Head:
    """An untrained head, without a trace in torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Head(width)


def trained(rows: Float[np.ndarray, "row d"], seed: int) -> Head:
    """A new head after one pass over the rows in random order, 8 a step, against fresh flips."""
    head, coins = new(rows.shape[1], seed), flips(seed)
    inputs = torch.tensor(rows, dtype=torch.float32)
    steps = -(-len(rows) // BATCH)
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE)
    schedule = get_cosine_schedule_with_warmup(optimiser, int(WARMUP * steps), steps)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for batch in torch.split(torch.randperm(len(rows)), BATCH):
            wanted = np.concatenate([next(coins) for _ in batch])
            error = head(inputs[batch]) - torch.tensor(wanted, dtype=torch.float32)
            optimiser.zero_grad()
            torch.autograd.backward((error**2).mean())
            optimiser.step()
            schedule.step()
    return head
