"""From which responses are alike, or imply each other, to numbers: one a response, from 0.

A label is what an inference model says of a premise (row) and a hypothesis (column).
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from jaxtyping import Bool, Int

CONTRADICTION, NEUTRAL, ENTAILMENT = 0, 1, 2
Alike = Bool[np.ndarray, "response response"]
Labels = Int[np.ndarray, "response response"]
Ids = tuple[int, ...]


def by_first_appearance(keys: Sequence[Hashable]) -> Ids:
    """Equal keys get equal numbers: c a c b is 0 1 0 2."""
    known: dict[Hashable, int] = {}
    return tuple(known.setdefault(key, len(known)) for key in keys)


def assign_once(alike: Alike) -> Ids:
    """Each joins the first cluster whose first member it is like, or founds one.

    Nobody is farther from the founder than the relation allows, which chains of neighbours would
    be. Who founds depends on the order, unless the relation is an equivalence.
    """
    founders: list[int] = []
    ids = []
    for place in range(len(alike)):
        home = next((i for i, first in enumerate(founders) if alike[first, place]), len(founders))
        if home == len(founders):
            founders.append(place)
        ids.append(home)
    return tuple(ids)


def overwritten(alike: Alike) -> Ids:
    """Each that has no number yet gets the next, and with it all later ones it is like.

    Those that had a number lose it: of a chain, the later founder takes the link.
    """
    ids = [-1] * len(alike)
    for place in range(len(alike)):
        if ids[place] < 0:
            number = max(ids) + 1
            later = [i for i in range(place + 1, len(alike)) if alike[place, i]]
            for i in [place, *later]:
                ids[i] = number
    return by_first_appearance(ids)


def handed_on(alike: Alike) -> Ids:
    """Each, in turn, hands the number it has by then to all later ones it is like."""
    ids = list(range(len(alike)))
    for place in range(len(alike)):
        for i in range(place + 1, len(alike)):
            if alike[place, i]:
                ids[i] = ids[place]
    return by_first_appearance(ids)


def strict(labels: Labels) -> Ids:
    """Alike are those that entail each other, as the papers say; each is assigned once."""
    return assign_once(entail_each_other(labels))


def not_contradicting(labels: Labels) -> Ids:
    """Alike are those of which neither contradicts and one at least entails: no two neutrals."""
    neutral = labels == NEUTRAL
    return overwritten(_nowhere_contradict(labels) & ~(neutral & neutral.T))


def kuhn(labels: Labels) -> Ids:
    """Alike are those of which neither contradicts the other, even where both are neutral."""
    return handed_on(_nowhere_contradict(labels))


def entail_each_other(labels: Labels) -> Alike:
    """Both ways."""
    entails = labels == ENTAILMENT
    return np.asarray(entails & entails.T)


def _nowhere_contradict(labels: Labels) -> Alike:
    contradicts = labels == CONTRADICTION
    return np.asarray(~(contradicts | contradicts.T))


RULES: dict[str, Callable[[Labels], Ids]] = {
    "strict": strict,
    "not_contradicting": not_contradicting,
    "kuhn": kuhn,
}
"""by the name that `rule` knows them by"""
