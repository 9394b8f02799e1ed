"""A language model that reads both responses and says which is better."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any, Literal

from prefloop import frozen
from prefloop.oracles._border import finite, query_id
from prefloop.oracles._errors import OracleError
from prefloop.oracles._pair_text import PairText, said
from prefloop.types import Answer, Missing, Query


@dataclass(frozen=True, kw_only=True)
class PairModel:
    """P(a ≻ b) by a causal language model that has both before it, asked both ways round.

        ½ [ softmax(z_A, z_B)_A on (a, b)  +  softmax(z_A, z_B)_B on (b, a) ]

    Dong et al. 2024, the pairwise preference model (arXiv:2405.07863). Antisymmetric exactly; the
    two halves are in `raw`, each the probability of the response named first, and how far they are
    from one in sum is its position bias. Unlike scores it can go round in circles.
    """

    path: str
    """a folder or hub id of a causal language model, trained to answer so"""
    template: str = "[CONTEXT] {context} [RESPONSE A] {a} [RESPONSE B] {b} \n"
    """with {context}, {a} and {b} in it"""
    wrap: Literal["auto", "chat", "plain"] = "auto"
    """auto: a user's message under the tokenizer's chat template if it has one"""
    names: tuple[str, str] = ("A", "B")
    """what it answers where the first response is better, and where the second is"""
    max_tokens: int | None = None
    """longest text; default: the model's context. A longer one is no answer"""
    tokens: int = 8192
    """token budget of a batch, padding included; never changes an answer beyond rounding"""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the weights; auto is the checkpoint's"""
    trust_remote_code: bool = False
    _model: Any = field(init=False, repr=False, compare=False)
    _text: PairText = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        model, tokenizer = frozen.load(
            self.path,
            "AutoModelForCausalLM",
            "a pair model",
            error=OracleError,
            dtype=self.dtype,
            trust=self.trust_remote_code,
        )
        text = PairText(
            tokenizer=tokenizer, template=self.template, wrap=self.wrap, names=self.names
        )
        object.__setattr__(self, "_model", model.to(frozen.device(self.device)))
        object.__setattr__(self, "_text", text)

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        both = [self._rows(query) for query in queries]
        limit = self.max_tokens or frozen.context(self._model, self._text.tokenizer)
        rows = {row for pair in both for row in pair if len(row) <= limit}
        known = self._first_is_better(sorted(rows))
        for query, (there, back) in zip(queries, both, strict=True):
            p: float | Missing = Missing(
                f"{max(len(there), len(back))} tokens do not fit {limit}; raise max_tokens if the "
                "model can read as many"
            )
            raw = ""
            if there in known and back in known:
                p = finite(0.5 + (known[there] - known[back]) / 2)
                raw = dumps([known[there], known[back]])
            yield Answer(query_id=query_id(query), p=p, raw=raw, oracle="pair_model")

    def _rows(self, query: Query) -> tuple[tuple[int, ...], tuple[int, ...]]:
        context, a, b = query.prompt.text, query.a.text, query.b.text
        encode = self._text.encode
        return tuple(encode(context, a, b)), tuple(encode(context, b, a))

    def _first_is_better(self, rows: list[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        """P(the response named first is better), of each text once."""
        import torch

        found: dict[tuple[int, ...], float] = {}
        for batch in frozen.batches([len(row) for row in rows], self.tokens):
            chosen = [rows[i] for i in batch]
            with torch.inference_mode():
                values = said(self._model, chosen, self._text.targets).softmax(1)[:, 0]
            found.update(zip(chosen, values.tolist(), strict=True))
        return found
