"""A frozen Hugging Face model as an encoder of texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from prefloop import frozen
from prefloop.types import Response

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """The last hidden state of any model that AutoModel loads, of prompt and response as one text.

    A model that is never trained, so that counts stay comparable for a whole run (a reference that
    moves makes a new space of every round). Padding is masked and never read: a text has the same
    vector in any batch, up to rounding.
    """

    path: str
    """a folder or hub id"""
    pooling: Literal["last", "mean"] = "last"
    """the last valid token's state, for causal models; or the mean over all valid tokens"""
    max_tokens: int | None = None
    """longest text; default: the model's context"""
    overflow: Literal["error", "keep_end"] = "error"
    """a longer text: refuse it, or see its last max_tokens tokens only"""
    tokens: int = 8192
    """token budget of a batch, padding included; changes no vector beyond rounding"""
    device: str = "auto"
    _model: Any = field(init=False, repr=False, compare=False)
    _tokenizer: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        model, tokenizer = frozen.load(
            self.path,
            "AutoModel",
            "an encoder",
            error=ValueError,
            dtype="float32",
            spare="pooler",
        )
        object.__setattr__(self, "_model", model.to(frozen.device(self.device)))
        object.__setattr__(self, "_tokenizer", tokenizer)

    def features(self, responses: Sequence[Response]) -> Float[np.ndarray, "response width"]:
        return self.of_texts([response.full_text for response in responses])

    def of_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "text width"]:
        """The same of any texts."""
        rows = [self._encode(text) for text in texts]
        found = np.zeros((len(rows), self._model.config.get_text_config().hidden_size), np.float32)
        for places in frozen.batches([len(row) for row in rows], self.tokens):
            found[places] = self._forward([rows[i] for i in places]).cpu().numpy()
        return found

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer(text, verbose=False)["input_ids"]
        limit = self.max_tokens or frozen.context(self._model, self._tokenizer)
        if not tokens:
            raise ValueError(f"a text of no tokens has no hidden state, got {text!r}; drop it")
        if len(tokens) > limit and self.overflow == "error":
            raise ValueError(
                f"a text must fit the encoder's {limit} tokens, got {len(tokens)}; set overflow to "
                "keep_end to see its end only"
            )
        return tokens[-limit:]

    def _forward(self, rows: list[list[int]]) -> "Float[Tensor, 'row width']":
        import torch
        from torch.nn.utils.rnn import pad_sequence

        device = self._model.device
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        is_token = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        with torch.no_grad():
            states = self._model(input_ids=ids, attention_mask=is_token.long()).last_hidden_state
        if self.pooling == "last":
            last: Tensor = states[torch.arange(len(rows), device=device), lengths - 1]
            return last
        mean: Tensor = (states * is_token[..., None]).sum(1) / lengths[:, None]
        return mean
