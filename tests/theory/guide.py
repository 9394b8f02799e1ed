"""The worked example of the specification, shared by several files: five responses, 38 answers."""

import torch

PRIOR, REWARD = (0.40, 0.25, 0.20, 0.10, 0.05), (0.2, -0.5, 1.0, 0.3, 2.0)
WINS = {(0, 1): (6, 2), (0, 2): (3, 4), (1, 2): (1, 5), (2, 3): (4, 2), (0, 3): (3, 2)}
WINS |= {(3, 4): (2, 1), (2, 4): (1, 2)}


def world() -> tuple[torch.Tensor, torch.Tensor]:
    """log π₀ and r."""
    return torch.tensor(PRIOR).log(), torch.tensor(REWARD)


def wins() -> torch.Tensor:
    """How often row beat column."""
    found = torch.zeros(5, 5)
    for (i, j), (won, lost) in WINS.items():
        found[i, j], found[j, i] = won, lost
    return found


def close(found: object, *expected: float, digits: int = 9) -> None:
    """Equal to so many digits after the point."""
    target = torch.tensor(expected).double()
    torch.testing.assert_close(torch.as_tensor(found).flatten(), target, rtol=0, atol=10.0**-digits)
