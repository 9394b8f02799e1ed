"""Odds ratio preference optimisation."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps


def orpo(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Supervised fine-tuning on the preferred response, with a penalty on the rejected one's odds.

        ℓ(w, l) = −m_w − β log σ(log odds(w) − log odds(l)),       m = log π(y)/|y|
        odds    = eᵐ / (1 − eᵐ),                                   ℓ = p ℓ(a, b) + (1−p) ℓ(b, a)

    Hong et al. 2024 (arXiv:2403.07691), where β is λ; each response is averaged over its own
    tokens, TRL's first term over those of the batch. No reference model and no stage before it:
    imitation does most of the work. Odds have a pole where a response is certain; they stop at
    what the number type can tell from certainty.
    """
    m_a, m_b = y.a / y.len_a, y.b / y.len_b
    ratio = _log_odds(m_a) - _log_odds(m_b)
    imitation = y.p * m_a + (1 - y.p) * m_b
    return -imitation - beta * (y.p * logsigmoid(ratio) + (1 - y.p) * logsigmoid(-ratio))


def _log_odds(m: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    m = m.clamp(max=-torch.finfo(m.dtype).eps)
    return m - (-torch.expm1(m)).log()
