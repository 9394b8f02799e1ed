"""Ask: put the queries to the oracle, and commit every answer the moment it arrives."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from time import monotonic
from typing import Any

from prefloop.runs.sample import Sampling
from prefloop.runs.session import Session
from prefloop.types import Answer, Missing, Preference, Query

_TOGETHER = 0.02  # seconds: answers that arrive faster than this share a commit


class AskError(RuntimeError):
    """The oracle's answers cannot be used; those that can are committed."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The verb `ask` of a run."""

    session: Session

    def __call__(self, round: int, queries: Sequence[Query]) -> list[Preference]:
        """The round's answered queries, in query order."""
        ledger = self.session.ledger
        if ledger.finished(round, "ask") is None:
            began = monotonic()
            self._ask(round, queries)
            ledger.finish(round, "ask", {"seconds": monotonic() - began})
        return ledger.preferences(round)

    def _ask(self, round: int, queries: Sequence[Query]) -> None:
        settings = self.session.phase(round).config.ask
        self.session.watch.begin(round, "ask", len(queries), "labels")
        if not queries:
            return
        oracle = self._oracle(round)
        for attempt in range(1 + settings.retries):
            open_ = self._open(round, queries)
            if attempt == 0:
                self.session.watch.advance(len(queries) - len(open_))
            if not open_:
                return
            for chunk in self.session.chunks(len(open_)):
                self._put(oracle, [open_[i] for i in chunk])
                self.session.stop.check()
        missing = self._open(round, queries)
        if len(missing) > settings.max_missing * len(queries):
            raise AskError(self._complaint(round, missing, len(queries), settings.max_missing))

    def _oracle(self, round: int) -> Any:
        """The oracle; what is spent and the ready-made labels are there for one that takes them."""
        session = self.session
        return session.part(
            "oracle",
            "oracles",
            session.phase(round).config.ask.oracle,
            spent=session.ledger.spent,
            answers=Sampling(session=session).labels,
        )

    def _put(self, oracle: Any, queries: Sequence[Query]) -> None:
        """Ask, and commit answers as they come; fast ones share a commit."""
        asked = {q.id for q in queries}
        waiting: list[Answer] = []
        last = monotonic()
        try:
            for answer in _checked(oracle.ask(queries), asked):
                waiting.append(answer)
                gap, last = monotonic() - last, monotonic()
                if gap > _TOGETHER:
                    self._commit(waiting)
        finally:
            self._commit(waiting)

    def _commit(self, waiting: list[Answer]) -> None:
        self.session.ledger.add_answers(waiting)
        self.session.watch.advance(sum(not isinstance(a.p, Missing) for a in waiting))
        waiting.clear()

    def _open(self, round: int, queries: Sequence[Query]) -> list[Query]:
        answered = self.session.ledger.answered(round)
        return [q for q in queries if q.id not in answered]

    def _complaint(self, round: int, missing: Sequence[Query], total: int, limit: float) -> str:
        reasons = Counter(self.session.ledger.reasons([q.id for q in missing])).most_common(3)
        why = "; ".join(f"{count} × {reason}" for reason, count in reasons)
        return (
            f"{len(missing)} of round {round}'s {total} labels are missing, more than "
            f"ask.max_missing={limit:g} allows ({why}). Mend the oracle and run the same command "
            "again: answers that came are kept and not asked for a second time"
        )


def _checked(answers: Iterable[Answer], asked: set[str]) -> Iterator[Answer]:
    """Answers to what was asked; a p that is no probability becomes Missing."""
    for answer in answers:
        if answer.query_id not in asked:
            raise AskError(
                f"the oracle {answer.oracle!r} answered {answer.query_id!r}, which it was not "
                "asked; an Answer's query_id must be its query's id"
            )
        p = answer.p
        if not isinstance(p, Missing) and not (isfinite(p) and 0 <= p <= 1):
            answer = replace(answer, p=Missing(f"{p} is not a probability"))
        yield answer
