"""Where text becomes tokens, once: what the sampler and the learner see is made here.

A response is tokenised apart from its prompt, as the sampler meets it: the prompt's tokens are
therefore always a prefix of the whole, and a token never straddles the boundary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

from prefloop.types import Message, Prompt, content_hash

Tokens = tuple[int, ...]
Overflow = Literal["error", "drop", "keep_end"]
BOUNDARY = "⟪response⟫"
"""what `Encoder.show` puts between the prompt and the response"""


class TemplateError(ValueError):
    """A chat template that cannot be used for these messages."""


@dataclass
class Counts:
    """What became of the rows that were tokenised; `kept + dropped` is all of them."""

    kept: int = 0
    """rows that went on, the truncated ones included"""
    dropped: int = 0
    truncated: int = 0
    """rows that went on with the start of their prompt cut off"""


@runtime_checkable
class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is used."""

    chat_template: Any
    bos_token_id: Any
    eos_token_id: Any

    @property
    def special_tokens_map(self) -> Mapping[str, Any]: ...
    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]: ...
    def __len__(self) -> int: ...
    def __call__(self, text: str, **options: Any) -> Mapping[str, Any]: ...
    def decode(self, token_ids: Sequence[int], **options: Any) -> str: ...
    def get_chat_template(self) -> str: ...
    def apply_chat_template(self, conversation: Sequence[Message], **options: Any) -> Any: ...


def plain_text(messages: Sequence[Message]) -> str:
    """A chat as plain text for a model without a chat template, ready for the next answer.

    `User: …`, `Assistant: …`, a blank line between turns, and a last `Assistant:`, which the
    answer follows after one space.
    """
    turns = [f"{message['role'].capitalize()}: {message['content']}" for message in messages]
    return "\n\n".join([*turns, "Assistant:"])


@dataclass
class Encoder:
    """Text to tokens under one tokenizer, template and context length, with its overflow policy.

    `template="auto"` is the tokenizer's chat template where it has one, plain text otherwise.
    Under a chat template a plain prompt is one user message; an empty prompt (a row of running
    text) has no template. Without one, a chat is its `Prompt.text`.
    """

    tokenizer: Tokenizer
    _: KW_ONLY
    context: int
    """tokens of prompt and response together"""
    template: Literal["auto", "chat", "plain"] = "auto"
    overflow: Overflow = "error"
    """a row that does not fit: refuse it, leave it out, or keep the end of its prompt"""
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        if self.tokenizer.eos_token_id is None:
            raise ValueError(
                "the tokenizer has no EOS token, so no response could ever end; set one "
                "(tokenizer.eos_token = '</s>') and save it with the model"
            )
        if self.template == "chat" and not self.tokenizer.chat_template:
            raise ValueError(
                "template 'chat' needs a tokenizer with a chat template, and this one has none; "
                "set model.template to plain, or save a chat template with the tokenizer"
            )
        self.chat = self.template != "plain" and bool(self.tokenizer.chat_template)
        self._head = self._special_start()
        self.ends: Tokens = tuple(dict.fromkeys([self._end_of_turn(), self._eos]))
        """tokens that end a response, the one `encode_response` uses first"""

    @property
    def template_hash(self) -> str:
        """Content hash of all that decides how a text becomes tokens, the merges excepted."""
        template = self.tokenizer.get_chat_template() if self.chat else "plain"
        special = {key: str(value) for key, value in self.tokenizer.special_tokens_map.items()}
        return content_hash(template, special, len(self.tokenizer))

    def encode(self, prompt: Prompt, *texts: str) -> tuple[Prompt, tuple[Tokens, ...]] | None:
        """The prompt with its tokens and the tokens of each response, or None for a dropped row.

        The longest response decides how much of the prompt fits; responses are never cut.
        """
        responses = tuple(self.encode_response(prompt, text) for text in texts)
        fitted = self._fit(prompt, max(map(len, responses), default=0))
        return None if fitted is None else (fitted, responses)

    def encode_prompt(self, prompt: Prompt, reserve: int) -> Prompt | None:
        """The prompt with its tokens, `reserve` left free for a response; None when dropped."""
        if reserve >= self.context:
            raise ValueError(
                f"a response of {reserve} tokens leaves no room for a prompt in a context of "
                f"{self.context}; lower sample.max_new_tokens or raise model.max_tokens"
            )
        return self._fit(prompt, reserve)

    def encode_response(self, prompt: Prompt, text: str) -> Tokens:
        """The tokens that follow the prompt's when the answer is `text`, its end included.

        Raises TemplateError when the chat template does not keep the prompt as it was.
        """
        if not text.strip():
            raise ValueError(f"a response must not be empty, got {text!r}; remove the row")
        if not self._templated(prompt):
            tokens = self._continue(self._separator(prompt) + text)
            return tokens if tokens[-1] == self._eos else (*tokens, self._eos)
        tokens, end = self._continue(self._turn(prompt, text)), self.ends[0]
        if end in tokens:
            return tokens[: len(tokens) - tokens[::-1].index(end)]
        return (*tokens, end)

    def decode(self, prompt: Prompt, tokens: Sequence[int]) -> str:
        """The text of a response: `encode_response` undone."""
        ended = bool(tokens) and tokens[-1] in self.ends
        text = self._decode_after(tokens[:-1] if ended else tokens, skip_special_tokens=True)
        return text.removeprefix(self._separator(prompt))

    def show(self, prompt: Prompt, response: Sequence[int]) -> str:
        """A tokenised example as the model will see it, special tokens and all."""
        return self._decode(prompt.tokens) + BOUNDARY + self._decode_after(response)

    @property
    def _eos(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def _templated(self, prompt: Prompt) -> bool:
        return self.chat and bool(prompt.messages or prompt.text)

    def _messages(self, prompt: Prompt) -> list[Message]:
        return list(prompt.messages) or [{"role": "user", "content": prompt.text}]

    def _separator(self, prompt: Prompt) -> str:
        """What stands between a chat written as plain text and its answer."""
        written = bool(prompt.messages) and not self.chat
        return " " if written and not prompt.text[-1:].isspace() else ""

    def _tokens(self, prompt: Prompt) -> Tokens:
        if self._templated(prompt):
            return self._ids(self._render(self._messages(prompt), add_generation_prompt=True))
        text = prompt.text or (plain_text(prompt.messages) if prompt.messages else "")
        tokens = self._ids(text)
        if tokens[: len(self._head)] != self._head:
            tokens = self._head + tokens  # a text that brings its own BOS gets no second one
        # A model that knows no BOS saw its training texts start after an EOS.
        first = self.tokenizer.bos_token_id
        return tokens or (self._eos if first is None else int(first),)

    def _fit(self, prompt: Prompt, reserve: int) -> Prompt | None:
        tokens, room = self._tokens(prompt), self.context - reserve
        if len(tokens) > room:
            if self.overflow == "error":
                raise ValueError(
                    f"prompt {_short(prompt.text)} has {len(tokens)} tokens, and {room} fit beside "
                    f"a response of {reserve} in a context of {self.context}; shorten it, raise "
                    "model.max_tokens, or set data.overflow to drop or keep_end"
                )
            head = self._head_of(tokens)
            if self.overflow == "drop" or room <= len(head):
                self.counts.dropped += 1
                return None
            self.counts.truncated += 1
            tokens = head + tokens[len(tokens) - room + len(head) :]
        self.counts.kept += 1
        return replace(prompt, tokens=tokens)

    def _head_of(self, tokens: Tokens) -> Tokens:
        """The BOS, if there is one, of a prompt that is to lose its start."""
        head = self._head or (self.tokenizer.bos_token_id,)
        return head if tokens[: len(head)] == head else ()

    def _turn(self, prompt: Prompt, text: str) -> str:
        """What the chat template writes after the prompt when the answer is `text`."""
        messages = self._messages(prompt)
        before = self._render(messages, add_generation_prompt=True)
        after = self._render([*messages, {"role": "assistant", "content": text}])
        if after.startswith(before):
            return after[len(before) :]
        at = next((i for i, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), None)
        at = min(len(before), len(after)) if at is None else at
        near = slice(max(at - 30, 0), at + 30)
        raise TemplateError(
            "the chat template does not keep the prompt as the start of prompt + response: they "
            f"differ at character {at}, {before[near]!r} without the response and {after[near]!r} "
            "with it. Save a template that writes the turns before the last answer unchanged "
            "(and its generation prompt as the start of that answer), or set model.template to "
            "plain"
        )

    def _render(self, messages: Sequence[Message], **options: Any) -> str:
        from jinja2 import TemplateError as JinjaError

        try:
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, **options)
        except JinjaError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise TemplateError(
                f"the chat template refuses messages with the roles {roles}: {error}. Change the "
                "messages, save another template with the tokenizer, or set model.template to plain"
            ) from error
        return str(text)

    def _special_start(self) -> Tokens:
        """What the tokenizer itself puts before every text: a BOS, or nothing."""
        bare, whole = self._ids("a"), self._ids("a", add_special_tokens=True)
        starts = (i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        return whole[: next(starts, 0)]

    def _end_of_turn(self) -> int:
        """The first special token after an assistant's text; EOS where there is no other."""
        if not self.chat:
            return self._eos
        question, answer = ({"role": r, "content": f"the {r} says"} for r in ("user", "assistant"))
        try:
            whole = self._render([question, answer])
        except TemplateError:
            return self._eos
        special = {i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        tail = self._ids(whole.rpartition(answer["content"])[2])
        return next((token for token in tail if token in special), self._eos)

    def _continue(self, text: str) -> Tokens:
        """The tokens of a text that follows another, with no space invented before it.

        Many tokenizers put a space before the first word of whatever they are given. So the text
        is tokenised behind something short that is then cut off, and what is left must decode to
        the text.
        """
        wanted = self._decode(self._ids(_CONTEXT + text))
        for anchor in _ANCHORS:
            before, joint = self._ids(anchor), self._ids(anchor + text)
            tokens = joint[len(before) :]
            kept = joint[: len(before)] == before
            if tokens and kept and self._decode(self._ids(_CONTEXT) + tokens) == wanted:
                return tokens
        raise ValueError(
            f"the tokenizer cannot write {_short(text)} after another text so that it decodes to "
            "itself; use a tokenizer with byte fallback, or remove the row"
        )

    def _ids(self, text: str, *, add_special_tokens: bool = False) -> Tokens:
        found = self.tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)
        return tuple(found["input_ids"])

    def _decode(self, tokens: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return self.tokenizer.decode(
            list(tokens),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )

    def _decode_after(self, tokens: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decoded as the continuation of a text, so that a leading space is not lost."""
        context = self._ids(_CONTEXT)
        whole = self._decode((*context, *tokens), skip_special_tokens=skip_special_tokens)
        return whole[len(self._decode(context)) :]


_CONTEXT = "."
_ANCHORS = ("", "\n", ".", "a", "0")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
