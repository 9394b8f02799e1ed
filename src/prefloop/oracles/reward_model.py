"""A Hugging Face sequence-classification model as a scorer."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from prefloop import frozen
from prefloop.oracles._border import finite
from prefloop.oracles._errors import OracleError
from prefloop.oracles._heads import aggregated
from prefloop.types import Missing, Response

if TYPE_CHECKING:
    from torch import Tensor

RATINGS = ("regression", "multi_label_classification")
_Row = tuple[int, list[int]]  # where the score goes, and the tokens it is read from


@dataclass(frozen=True, kw_only=True)
class RewardModel:
    """The logit of any sequence-classification model, with its own tokenizer and template.

    With several labels, `label` says which one is wanted: its log-odds against the others, or its
    own logit where the labels are independent ratings. A checkpoint whose head is not there is
    refused, since transformers would fill in a random one.

    A folder that prefloop trained is read as it was trained: prompt and response in the same
    tokens, the end of the response included, its labels aggregated, and centred.
    """

    path: str
    """a folder or hub id"""
    label: int | None = None
    template: Literal["auto", "chat", "plain"] = "auto"
    """auto: the tokenizer's chat template if it has one, else prompt and response as one text"""
    max_tokens: int | None = None
    """longest prompt + response; default: the model's context"""
    overflow: Literal["missing", "keep_end"] = "missing"
    """a longer row: no score, or the score of its last max_tokens tokens"""
    tokens: int = 8192
    """token budget of a batch, padding included; never changes a score beyond rounding"""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the weights; auto is the checkpoint's"""
    trust_remote_code: bool = False
    _model: Any = field(init=False, repr=False, compare=False)
    _tokenizer: Any = field(init=False, repr=False, compare=False)
    _encoder: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        model, tokenizer = frozen.load(
            self.path,
            "AutoModelForSequenceClassification",
            "a reward model",
            error=OracleError,
            dtype=self.dtype,
            trust=self.trust_remote_code,
        )
        _may_pad(model.config.get_text_config(), tokenizer)
        count = model.config.num_labels
        if self.label is None and count > 1 and not hasattr(model.config, "prefloop_aggregate"):
            names = ", ".join(f"{i}: {name}" for i, name in model.config.id2label.items())
            raise ValueError(f"{self.path} has {count} labels ({names}); set label to the good one")
        if self.label is not None and not 0 <= self.label < count:
            raise ValueError(f"label must lie in 0..{count - 1}, got {self.label}")
        if self.template == "chat" and not tokenizer.chat_template:
            raise ValueError(f"{self.path} has no chat template; set template to plain or auto")
        object.__setattr__(self, "_model", model.to(frozen.device(self.device)))
        object.__setattr__(self, "_tokenizer", tokenizer)
        if hasattr(model.config, "prefloop_shift"):
            from prefloop.store.text import Encoder

            encoder = Encoder(tokenizer, context=sys.maxsize, template=self.template)
            object.__setattr__(self, "_encoder", encoder)

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        limit = self.max_tokens or frozen.context(self._model, self._tokenizer)
        scores: list[float | Missing] = []
        rows: list[_Row] = []
        for place, response in enumerate(responses):
            tokens = self._encode(response)
            scores.append(Missing(f"{len(tokens)} tokens do not lie in 1..{limit}"))
            if tokens and (len(tokens) <= limit or self.overflow == "keep_end"):
                rows.append((place, tokens[-limit:]))
        can_pad = self._model.config.get_text_config().pad_token_id is not None
        lengths = [len(tokens) for _, tokens in rows]
        for batch in frozen.batches(lengths, self.tokens if can_pad else 0):
            values = self._forward([rows[i][1] for i in batch])
            for i, value in zip(batch, values, strict=True):
                scores[rows[i][0]] = finite(value)
        return scores

    def _encode(self, response: Response) -> list[int]:
        if self._encoder is not None:
            return _as_trained(self._encoder, response)
        if self.template == "plain" or not self._tokenizer.chat_template:
            plain: list[int] = self._tokenizer(response.full_text)["input_ids"]
            return plain
        prompt = response.prompt
        chat = [*(prompt.messages or [{"role": "user", "content": prompt.text}])]
        chat.append({"role": "assistant", "content": response.text})
        text = self._tokenizer.apply_chat_template(chat, tokenize=False)
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _forward(self, rows: list[list[int]]) -> list[float]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        pad = self._model.config.get_text_config().pad_token_id or 0
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        attended = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        device = self._model.device
        with torch.inference_mode():
            out = self._model(input_ids=ids.to(device), attention_mask=attended.to(device))
        return self._wanted(out.logits.float()).tolist()

    def _wanted(self, logits: "Tensor") -> "Tensor":
        if self.label is None:
            said = self._model.config
            how = getattr(said, "prefloop_aggregate", "mean")
            return aggregated(logits, how) - getattr(said, "prefloop_shift", 0.0)
        wanted = logits[:, self.label]
        if logits.shape[1] == 1 or self._model.config.problem_type in RATINGS:
            return wanted
        others = [i for i in range(logits.shape[1]) if i != self.label]
        return wanted - logits[:, others].logsumexp(1)


def _as_trained(encoder: Any, response: Response) -> list[int]:
    """A response that says nothing is its end alone; one that was cut off before it, nothing."""
    if not response.text.strip():
        prompt, _ = encoder.encode(response.prompt)
        return [*prompt.tokens, encoder.ends[0]] if response.finished else []
    prompt, (tokens,) = encoder.encode(response.prompt, response.text)
    return [*prompt.tokens, *(tokens if response.finished else tokens[:-1])]


def _may_pad(config: Any, tokenizer: Any) -> None:
    """Batches need a padding token; an EOS is none, as its score would not be read."""
    if config.pad_token_id is None and tokenizer.pad_token_id != tokenizer.eos_token_id:
        config.pad_token_id = tokenizer.pad_token_id
