"""What was drawn, row by row, kept on the device until all rows are done."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from prefloop.generate.draw import Draw
from prefloop.generate.request import Drawn


class Record:
    """The tokens of a batch of rows and the sums of their log-probabilities."""

    def __init__(self, rows: int, steps: int, device: torch.device) -> None:
        self.tokens = torch.zeros(rows, steps, dtype=torch.long, device=device)
        self.logp = torch.zeros(rows, device=device)
        self.logp_sampling = torch.zeros(rows, device=device)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self.finished = torch.zeros(rows, dtype=torch.bool, device=device)

    def write(
        self,
        step: int,
        places: Int[Tensor, " row"],
        drawn: Draw,
        grows: Bool[Tensor, " row"],
        stopped: Bool[Tensor, " row"],
    ) -> None:
        """Note one draw of the rows at `places`, as far as they still grow."""
        self.tokens[places, step] = drawn.tokens
        self.logp[places] += drawn.logp * grows
        self.logp_sampling[places] += drawn.logp_sampling * grows
        self.lengths[places] += grows
        self.finished[places] |= grows & stopped

    def read(self) -> list[Drawn]:
        """What every row came to."""
        columns = (self.tokens, self.lengths, self.logp, self.logp_sampling, self.finished)
        return [
            Drawn(tuple(tokens[:length]), logp, logp_sampling, finished)
            for tokens, length, logp, logp_sampling, finished in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]
