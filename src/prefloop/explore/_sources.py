"""Who proposed which candidate, for rules that compare proposers."""

from prefloop.explore._checks import at_least_two
from prefloop.types import Candidates, Source


def policy_and(candidates: Candidates, other: Source, *, rule: str) -> tuple[int, int]:
    """The first candidate of the policy and the first of the other source."""
    remedy = f"set sample.sources={{policy: 1, {other}: 1}}"
    if other == "hot":
        remedy += ", and sample.hot to the higher temperature"
    return (
        _of(candidates, "policy", 1, rule, remedy)[0],
        _of(candidates, other, 1, rule, remedy)[0],
    )


def policy_own(candidates: Candidates, least: int, *, rule: str) -> list[int]:
    """The policy's candidates in the order drawn, of which there must be so many."""
    remedy = "set sample.sources={policy: 4}"
    return _of(candidates, "policy", least, rule, remedy)


def _of(candidates: Candidates, source: Source, least: int, rule: str, remedy: str) -> list[int]:
    at_least_two(candidates)
    sources = [response.source for response in candidates.responses]
    found = [i for i, name in enumerate(sources) if name == source]
    if len(found) < least:
        wanted = "a candidate" if least == 1 else f"{least} candidates"
        raise ValueError(
            f"{rule} needs {wanted} of source {source}, got {', '.join(sources)}; {remedy}"
        )
    return found
