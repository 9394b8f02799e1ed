"""The records that travel through the loop, in the order they are made, and what a part must do.

`Prompt` → `Response` → `Query` → `Preference`: each contains the one before. Nothing here imports
torch, so that oracles, the store and the command line start quickly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from json import dumps
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from torch import Tensor

Message = dict[str, str]
Source = Literal["policy", "hot", "reference", "previous", "dataset", "human"]


def content_hash(*parts: Any) -> str:
    """Sixteen hex digits of the SHA-256 of the parts as canonical JSON."""
    canonical = dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is to be answered: a plain text to continue, or the messages of a chat."""

    text: str
    """the plain text, or the messages as a person would read them"""
    messages: tuple[Message, ...] = field(default=(), hash=False)
    """the chat so far; empty for a plain prompt"""
    tokens: tuple[int, ...] = ()
    """the prompt as the model sees it; made once, by `store.text.Encoder`"""
    meta: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @property
    def id(self) -> str:
        """Content hash of what was asked (not of its tokens: a new template keeps the id)."""
        return content_hash(list(self.messages) or self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer to a prompt: its text, its tokens (EOS included) and where it came from."""

    prompt: Prompt
    text: str
    tokens: tuple[int, ...] = ()
    id: str = ""
    """its name in the ledger, unique in a run; empty outside one"""
    logp: float | None = None
    """log π(response | prompt) in nats, untruncated, at temperature 1, of who drew it"""
    logp_sampling: float | None = None
    """the same under the law actually drawn from (temperature, top-p)"""
    source: Source = "policy"
    policy_version: int = 0
    finished: bool = True
    """it ended by itself, with EOS, not by the length limit"""
    desirable: bool | None = None
    """the label of unpaired data, None elsewhere"""
    seed: str = ""

    @property
    def full_text(self) -> str:
        """Prompt and response as one: a plain prompt is continued, a chat gets a new line."""
        return self.prompt.text + ("\n" if self.prompt.messages else "") + self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The question put to an oracle: which of `a` and `b` answers `prompt` better?"""

    prompt: Prompt
    a: Response
    b: Response
    id: str = ""
    """idempotency key: the same question asked again carries the same id"""

    def swap(self) -> "Query":
        """The same question with the candidates named the other way round."""
        return replace(self, a=self.b, b=self.a, id=self.id and self.id + "~swapped")


@dataclass(frozen=True, slots=True)
class Missing:
    """A label that could not be had; it is asked again, never trained on."""

    reason: str
    final: bool = False
    """asking again cannot help: the budget is spent"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an oracle said to one query. `p` is P(a ≻ b); 0.5 is a tie."""

    query_id: str
    p: float | Missing
    raw: str = ""
    """what the oracle actually said, or the scores it compared"""
    cost: float = 1.0
    """in labels, unless the oracle says otherwise"""
    oracle: str = ""
    asked_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """An answered query: what the learner learns from."""

    query: Query
    p: float
    strength: float | None = None
    """how much better the better one is, in the annotators' units, where they said"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Several responses to one prompt in an order of preference: a reward model may learn from it.

    Rank 1 is the best; equal ranks are ties.
    """

    responses: tuple[Response, ...]
    ranks: tuple[float, ...]
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What people said of one response by each of several objectives; NaN is nothing."""

    response: Response
    values: tuple[float, ...]
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What an exploration rule may look at when it picks two of K responses to one prompt."""

    prompt: Prompt
    responses: tuple[Response, ...]
    scores: Float[np.ndarray, "member candidate"] | None = None
    """by each member of an ensemble; a rule that needs `members` wants at least two"""
    features: Float[np.ndarray, "candidate feature"] | None = None
    """in units of what is known: ‖φ(i) − φ(j)‖ is the width of the reward difference, which is
    ‖·‖ in Σ⁻¹ of the comparisons made so far"""
    clusters: tuple[int, ...] | None = None
    """which candidates say the same: equal numbers mean the same thing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """The law responses are drawn from: softmax(logits / temperature), cut to the top-p mass."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")


@runtime_checkable
class Policy(Protocol):
    """A language model, or a finite table of responses, that can be sampled and differentiated."""

    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int,
        settings: SamplingSettings,
        rng: np.random.Generator,
    ) -> list[list[Response]]:
        """n responses to each prompt, in prompt order."""
        ...

    def logps(self, responses: Sequence[Response]) -> 'Float[Tensor, " response"]':
        """log π(response | prompt), one per response, summed over its tokens; differentiable."""
        ...


@runtime_checkable
class Oracle(Protocol):
    """Anything that can compare two responses: a reward model, a judge, a person."""

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Answers as they arrive, in any order; possibly none yet."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Anything that rates one response at a time: a reward model, a classifier."""

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        """One score per response, in order; higher is better."""
        ...


@runtime_checkable
class Features(Protocol):
    """Anything that turns responses, with their prompts, into vectors: an encoder, a topic model.

    The space must not move during a run: counts of one space mean nothing in another.
    """

    def features(self, responses: Sequence[Response]) -> Float[np.ndarray, "response feature"]:
        """One finite vector per response, in order, depending on nothing but its response."""
        ...


@runtime_checkable
class Clusterer(Protocol):
    """Anything that says which responses to one prompt mean the same."""

    def clusters(self, responses: Sequence[Response]) -> tuple[int, ...]:
        """A number for each response, in order, counted from 0 by first appearance."""
        ...


@runtime_checkable
class Novelty(Protocol):
    """Pseudo-counts: how often has the like of a response been collected before?

    `score` is 1/√(count + ridge): largest for what is unlike anything, and the same however often
    it is asked for. Rows are features made comparable by `novelty._white.Whitener`: centred,
    whitened, of length one.
    """

    def fit(self, features: Float[np.ndarray, "response feature"]) -> None:
        """Count these occurrences as well."""
        ...

    def score(
        self, features: Float[np.ndarray, "response feature"]
    ) -> Float[np.ndarray, " response"]:
        """1/√(count + ridge) of each row; changes nothing."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that was counted, as plain arrays."""
        ...

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        ...
