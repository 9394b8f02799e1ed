"""Responses in the tokens of another tokenizer than the policy's."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from prefloop.store.text import Encoder, Tokens
from prefloop.types import Response, content_hash

REMEMBERED = 50_000
"""responses whose tokens are kept"""


def same_tokenizer(a: Any, b: Any) -> bool:
    """Do both write a text, and a chat, in the same tokens? Merges are not compared."""
    return all(
        one == other
        for one, other in (
            (a.get_vocab(), b.get_vocab()),
            (a.special_tokens_map, b.special_tokens_map),
            (a.chat_template, b.chat_template),
        )
    )


@dataclass
class Reader:
    """Encodes prompts and texts anew; a response that was cut off gets no end here either."""

    encoder: Encoder
    known: dict[str, tuple[Tokens, Tokens] | None] = field(default_factory=dict)

    def __call__(self, response: Response) -> Response | None:
        """The response in the encoder's tokens, or None where it does not fit its context."""
        key = content_hash(response.prompt.id, response.text, response.finished)
        if key not in self.known:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[key] = self._encode(response)
        found = self.known[key]
        if found is None:
            return None
        prompt, tokens = found
        return replace(response, prompt=replace(response.prompt, tokens=prompt), tokens=tokens)

    def _encode(self, response: Response) -> tuple[Tokens, Tokens] | None:
        if not response.text.strip():  # nothing but its end
            prompt = self.encoder.encode_prompt(response.prompt, 1)
            return None if prompt is None else (prompt.tokens, self.encoder.ends[:1])
        found = self.encoder.encode(response.prompt, response.text)
        if found is None:
            return None
        prompt, (tokens,) = found
        return prompt.tokens, tokens if response.finished else tokens[:-1] or tokens


def reader(
    own: Any, other: Any, context: int, template: Literal["auto", "chat", "plain"]
) -> Reader | None:
    """How a model with its `own` tokenizer reads responses in the `other`'s tokens; None: as is."""
    if other is None or same_tokenizer(own, other):
        return None
    return Reader(Encoder(own, context=context, template=template, overflow="drop"))
