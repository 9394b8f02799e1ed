"""What annotators said of several responses to each prompt, and whether a scorer agrees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from prefloop.measure.judging import Circles, circles
from prefloop.measure.reward import Pairs, decided, paired

Name = Any
Labelled = tuple[Name, Name, float]
"""two responses of one prompt and P(first ≻ second)"""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Beside accuracy on decided labels: what else the labels of a prompt say together."""

    labels: int
    ties: int
    circles: Circles
    """of the labels themselves: what no score can agree with"""
    best: float | None
    """how often the top-scored response loses none of its comparisons, where such a one exists"""
    best_by_chance: float | None
    """the same of a response drawn blindly"""
    prompts: int
    """in which there is such a response, and another that loses"""
    ties_are_closer: float | None
    """P(|Δr| of a tie < |Δr| of a decided pair): ½ if margins know nothing of ties"""


def agreement(groups: Sequence[Sequence[Labelled]], margins: Sequence[Pairs]) -> Agreement:
    """`groups` are prompts' labels, `margins` the scorer's r(a) − r(b) of the same pairs."""
    p = np.array([label for group in groups for *_, label in group], np.float64)
    found, label = paired(np.concatenate([np.asarray(m, np.float64) for m in margins]), p)
    tables = [_table(group) for group in groups]
    rounds = [circles(table) for table in tables]
    tops = [_top(t, group, m) for t, group, m in zip(tables, groups, margins, strict=True)]
    known = [top for top in tops if top is not None]
    return Agreement(
        labels=len(label),
        ties=int((~decided(label)).sum()),
        circles=Circles(sum(c.violations for c in rounds), sum(c.triples for c in rounds)),
        best=float(np.mean([hit for hit, _ in known])) if known else None,
        best_by_chance=float(np.mean([share for _, share in known])) if known else None,
        prompts=len(known),
        ties_are_closer=_closer(np.abs(found), decided(label)),
    )


def _names(group: Sequence[Labelled]) -> list[Name]:
    return list(dict.fromkeys(name for a, b, _ in group for name in (a, b)))


def _table(group: Sequence[Labelled]) -> Float[np.ndarray, "response response"]:
    names = _names(group)
    found = np.full((len(names), len(names)), np.nan)
    for a, b, p in group:
        i, j = names.index(a), names.index(b)
        found[i, j], found[j, i] = p, 1 - p
    return found


def _top(
    table: Float[np.ndarray, "response response"], group: Sequence[Labelled], margin: Pairs
) -> tuple[float, float] | None:
    """(is the scorer's favourite unbeaten, by chance), where some are and some are not."""
    unbeaten = ~np.any(np.asarray(table < 0.5), axis=1)
    if unbeaten.all() or not unbeaten.any():
        return None
    names, wins = _names(group), np.zeros(len(table))
    for (a, b, _), gap in zip(group, margin, strict=True):
        wins[names.index(a)] += gap
        wins[names.index(b)] -= gap
    top = np.isclose(wins, wins.max())
    return float(unbeaten[top].mean()), float(unbeaten.mean())


def _closer(gap: Float[np.ndarray, " pair"], is_decided: np.ndarray) -> float | None:
    tied, apart = gap[~is_decided], gap[is_decided]
    if not len(tied) or not len(apart):
        return None
    order = np.sort(apart)
    above = len(apart) - np.searchsorted(order, tied, side="right")
    equal = len(apart) - np.searchsorted(order, tied, side="left") - above
    return float((above + equal / 2).mean() / len(apart))
