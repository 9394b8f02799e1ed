"""Two responses as one text for a language model, and which of two names it would say next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jaxtyping import Float

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PairText:
    """A template under one tokenizer; ValueError where an answer is not a single token."""

    tokenizer: Any
    template: str
    wrap: Literal["auto", "chat", "plain"] = "auto"
    names: tuple[str, str] = ("A", "B")

    def __post_init__(self) -> None:
        lacks = [field for field in ("{context}", "{a}", "{b}") if field not in self.template]
        if lacks:
            raise ValueError(f"template must have {lacks[0]} in it, got {self.template!r}")
        if self.wrap == "chat" and not self.tokenizer.chat_template:
            raise ValueError("there is no chat template to wrap in; set wrap to plain or auto")
        if len(set(self.targets)) < 2:
            raise ValueError(f"the answers must be two different tokens, got {self.names}")

    @property
    def targets(self) -> list[int]:
        """The tokens of the two answers."""
        return [self._single(name) for name in self.names]

    def encode(self, context: str, a: str, b: str) -> list[int]:
        """What the model reads before it answers; as a user's message where there are chats."""
        text = self.template.format(context=context, a=a, b=b)
        if self.wrap == "plain" or not self.tokenizer.chat_template:
            plain: list[int] = self.tokenizer(text, verbose=False)["input_ids"]
            return plain
        chat = [{"role": "user", "content": text}]
        asked = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        found = self.tokenizer(asked, add_special_tokens=False, verbose=False)
        tokens: list[int] = found["input_ids"]
        return tokens

    def _single(self, name: str) -> int:
        tokens = self.tokenizer(name, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1 or tokens[0] == self.tokenizer.unk_token_id:
            raise ValueError(
                f"the answer {name!r} must be one token that the tokenizer knows, got {tokens}; "
                "set names to two that are, such as [a, b]"
            )
        return int(tokens[0])


def said(
    model: Any, rows: Sequence[Sequence[int]], targets: Sequence[int]
) -> 'Float[Tensor, "row 2"]':
    """Log-probability, over the whole vocabulary, of each answer after each row; differentiable.

    Padded on the left, so that every row ends where the model is read.
    """
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    attended = (torch.arange(longest) >= longest - lengths[:, None]).long()
    out = model(
        input_ids=ids.to(model.device),
        attention_mask=attended.to(model.device),
        position_ids=(attended.cumsum(1) - 1).clamp(min=0).to(model.device),
        logits_to_keep=1,
    )
    found: Tensor = out.logits[:, -1].float().log_softmax(-1)[:, list(targets)]
    return found
