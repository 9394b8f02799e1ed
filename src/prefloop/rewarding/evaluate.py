"""A scorer, or a judge of pairs, against labels: everything that is measured of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isinf
from typing import Any

import numpy as np
from jaxtyping import Float

from prefloop.measure.annotators import Agreement, Labelled, agreement
from prefloop.measure.calibration import Calibration, calibration
from prefloop.measure.clustered import numbered
from prefloop.measure.intervals import Interval
from prefloop.measure.judging import position_bias
from prefloop.measure.lengths import LengthBias, length_bias, partial
from prefloop.measure.reward import accuracy, bayes_limit, decided
from prefloop.oracles._border import query_id
from prefloop.oracles._errors import OracleError
from prefloop.types import Missing, Oracle, Preference, Response, Scorer

SURE = 1e-6
"""a judge's probability is kept so far from 0 and 1, so that its log-odds are finite"""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Labelled pairs with what the scorer made of them; those without a score are left out."""

    pairs: tuple[Preference, ...]
    margin: Float[np.ndarray, " pair"]
    """r(a) − r(b), or a judge's log-odds"""
    scores: dict[str, float]
    """by response; empty for a judge"""
    missing: int
    position_bias: float | None = None

    @property
    def p(self) -> Float[np.ndarray, " pair"]:
        return np.array([pair.p for pair in self.pairs])

    @property
    def prompts(self) -> list[str]:
        return [pair.query.prompt.id for pair in self.pairs]

    @property
    def longer(self) -> Float[np.ndarray, " pair"]:
        """Characters of a less characters of b."""
        lengths = [len(p.query.a.text) - len(p.query.b.text) for p in self.pairs]
        return np.array(lengths, np.float64)

    def among(self, kept: Sequence[bool]) -> "Judged":
        """Some of the pairs."""
        pairs = tuple(p for p, keep in zip(self.pairs, kept, strict=True) if keep)
        return Judged(
            pairs=pairs, margin=self.margin[np.array(kept)], scores=self.scores, missing=0
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The table of docs/reward-models.md."""

    judged: Judged
    accuracy: Interval
    accuracy_strict: Interval
    longer: Interval
    """accuracy of preferring the longer response"""
    bayes_limit: float | None
    """None where every label is certain"""
    calibration: Calibration
    length: LengthBias | None
    """None for a judge, which scores no single response"""
    length_margin: float | None
    """Pearson correlation of the differences in length and in reward, given the label"""

    @property
    def json(self) -> dict[str, Any]:
        """Plain numbers; what is infinite or unknown is null."""
        judged, length = self.judged, self.length
        found = {
            "pairs": len(judged.pairs),
            "prompts": len(set(judged.prompts)),
            "missing": judged.missing,
            "ties": float((~decided(judged.p)).mean()),
            "tied_scores": float((judged.margin == 0).mean()),
            "accuracy": self.accuracy._asdict(),
            "accuracy_strict": self.accuracy_strict._asdict(),
            "accuracy_of_the_longer": self.longer._asdict(),
            "bayes_limit": self.bayes_limit,
            "calibration": asdict(self.calibration),
            "position_bias": judged.position_bias,
            "length": _length(length) if length else None,
            "length_margin_given_label": self.length_margin,
        }
        return json.loads(json.dumps(_finite(found)))  # type: ignore[no-any-return]


def evaluate(part: Scorer | Oracle, pairs: Sequence[Preference]) -> Evaluation:
    """Ask the scorer, or the judge, about all of them, and measure."""
    return measured(judge(part, pairs))


def measured(judged: Judged) -> Evaluation:
    """All of the table; ValueError where every label is a tie."""
    p, margin, prompts = judged.p, judged.margin, judged.prompts
    certain = bool(np.isin(p, (0.0, 0.5, 1.0)).all())
    return Evaluation(
        judged=judged,
        accuracy=accuracy(margin, p, prompts),
        accuracy_strict=accuracy(margin, p, prompts, strict=True),
        longer=accuracy(judged.longer, p, prompts),
        bayes_limit=None if certain else bayes_limit(p),
        calibration=calibration(margin, p),
        length=_bias(judged) if judged.scores else None,
        length_margin=partial(*_turned(judged)),
    )


def judge(part: Scorer | Oracle, pairs: Sequence[Preference]) -> Judged:
    """Every response scored once, or every pair asked about once."""
    return _scored(part, pairs) if isinstance(part, Scorer) else _asked(part, pairs)


def annotators(judged: Judged) -> Agreement:
    """What the labels of each prompt say together."""
    which = numbered(judged.prompts)
    groups: list[list[Labelled]] = [[] for _ in range(int(which.max()) + 1)]
    for pair, group in zip(judged.pairs, which, strict=True):
        groups[group].append((_name(pair.query.a), _name(pair.query.b), pair.p))
    margins = [judged.margin[which == group] for group in range(len(groups))]
    return agreement(groups, margins)


def sections(judged: Judged) -> dict[str, tuple[int, Interval]]:
    """Pairs and accuracy by the column `subset`, and by what stands before its slashes.

    A section's accuracy is over its pairs: its subsets', weighted by their counts.
    """
    names = [str(pair.query.prompt.meta.get("subset", "")) for pair in judged.pairs]
    if not any(names):
        raise ValueError("there is no column subset to make sections of; leave --sections out")
    paths = [[name[:i] for i, c in enumerate(name) if c == "/"] + [name] for name in names]
    every = sorted({path for mine in paths for path in mine})
    found = {}
    for one in every:
        part = judged.among([one in mine for mine in paths])
        if decided(part.p).any():
            found[one] = (len(part.pairs), accuracy(part.margin, part.p, part.prompts))
    return found


def _scored(part: Scorer, pairs: Sequence[Preference]) -> Judged:
    responses = {_name(r): r for pair in pairs for r in (pair.query.a, pair.query.b)}
    values = dict(zip(responses, part.score([*responses.values()]), strict=True))
    scores = {name: v for name, v in values.items() if not isinstance(v, Missing)}
    both = [(_name(pair.query.a), _name(pair.query.b)) for pair in pairs]
    kept = [a in scores and b in scores for a, b in both]
    _check(kept, values.values())
    margin = [scores[a] - scores[b] for (a, b), keep in zip(both, kept, strict=True) if keep]
    found = tuple(pair for pair, keep in zip(pairs, kept, strict=True) if keep)
    return Judged(
        pairs=found, margin=np.array(margin), scores=scores, missing=len(pairs) - len(found)
    )


def _asked(part: Oracle, pairs: Sequence[Preference]) -> Judged:
    queries = {query_id(pair.query): pair.query for pair in pairs}
    answers = {answer.query_id: answer for answer in part.ask([*queries.values()])}
    names = [query_id(pair.query) for pair in pairs]
    said = [answers[name].p if name in answers else Missing("no answer") for name in names]
    kept = [not isinstance(p, Missing) for p in said]
    _check(kept, said)
    p = np.clip([x for x in said if not isinstance(x, Missing)], SURE, 1 - SURE)
    found = tuple(pair for pair, keep in zip(pairs, kept, strict=True) if keep)
    return Judged(
        pairs=found,
        margin=np.log(p) - np.log1p(-p),
        scores={},
        missing=len(pairs) - len(found),
        position_bias=_position([answers[name].raw for name in names if name in answers]),
    )


def _check(kept: Sequence[bool], said: Any) -> None:
    if not any(kept):
        reason = next((x.reason for x in said if isinstance(x, Missing)), "no pairs")
        raise OracleError(f"none of {len(kept)} pairs has a score: {reason}")


def _position(raws: Sequence[str]) -> float | None:
    """Of the two halves that a pair model writes down, where it is one."""
    halves = []
    for raw in raws:
        try:
            found = json.loads(raw)
        except json.JSONDecodeError:
            continue
        if isinstance(found, list) and len(found) == 2 and all(type(x) is float for x in found):
            halves.append(found)
    return position_bias(*map(list, zip(*halves, strict=True))) if halves else None


def _bias(judged: Judged) -> LengthBias:
    responses = {_name(r): r for p in judged.pairs for r in (p.query.a, p.query.b)}
    return length_bias(
        [len(r.text) for r in responses.values()],
        [judged.scores[name] for name in responses],
        [r.prompt.id for r in responses.values()],
    )


def _turned(judged: Judged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences in length, in reward and in label, both ways round: which is `a` is arbitrary."""
    columns = (judged.longer, judged.margin, judged.p - 0.5)
    longer, margin, label = (np.concatenate([x, -x]) for x in columns)
    return longer, margin, label


def _length(found: LengthBias) -> dict[str, Any]:
    kept = ("pearson", "spearman", "pearson_within", "spearman_within", "few", "undefined")
    shown = found.heat_map()
    heat = {k: v.tolist() for k, v in vars(shown).items()} if shown else None
    return {name: getattr(found, name) for name in kept} | {"heat_map": heat}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(x) for x in value]
    return None if isinstance(value, float) and isinf(value) else value


def _name(response: Response) -> str:
    return response.id or f"{response.prompt.id}/{response.text}"
