"""Candidates that say the same thing are one candidate, unless others proposed them."""

from dataclasses import replace

from prefloop.types import Candidates


def distinct(options: Candidates) -> Candidates | None:
    """The candidates without a source's repeats of itself; None when one text is all there is.

    What the policy and the reference both say stays with both: a rule that compares sources must
    find each. The two that a rule picks may then be one text, which is no question.
    """
    if len({r.text for r in options.responses}) < 2:
        return None
    first = {(r.source, r.text): i for i, r in reversed(list(enumerate(options.responses)))}
    places = sorted(first.values())
    return replace(
        options,
        responses=tuple(options.responses[i] for i in places),
        scores=None if options.scores is None else options.scores[:, places],
        features=None if options.features is None else options.features[places],
        clusters=options.clusters and tuple(options.clusters[i] for i in places),
    )
