"""Candidates that say the same thing are one candidate."""

from dataclasses import replace

from prefloop.types import Candidates


def distinct(options: Candidates) -> Candidates | None:
    """The candidates without repeats of a text; None when one text is all there is."""
    first = {r.text: i for i, r in reversed(list(enumerate(options.responses)))}
    places = sorted(first.values())
    if len(places) < 2:
        return None
    scores = None if options.scores is None else options.scores[:, places]
    return replace(options, responses=tuple(options.responses[i] for i in places), scores=scores)
