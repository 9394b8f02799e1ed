"""Ask: put the queries to the oracle, and commit every answer the moment it arrives."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from prefloop.config import ConfigError
from prefloop.oracles._border import finite
from prefloop.runs.sample import Sampling
from prefloop.runs.session import Session
from prefloop.runs.watch import LimitReached
from prefloop.types import Answer, Missing, Preference, Query

_FAST = 0.02  # seconds: an answer that comes sooner does not wait until it is on the disk


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
        oracle, is_spent = self._oracle(round), False
        for attempt in range(1 + settings.retries):
            open_ = self._open(round, queries)
            if attempt == 0:
                self.session.watch.advance(len(queries) - len(open_))
            if not open_:
                return
            for chunk in self.session.chunks(len(open_)):
                is_spent = self._put(oracle, [open_[i] for i in chunk])
            if is_spent:
                break
        missing = self._open(round, queries)
        if is_spent and len(missing) < len(queries):
            return  # the run ends with the round that spent the last label
        if is_spent:
            raise LimitReached(f"round {round} had no label to spend: the run ends here")
        if len(missing) > settings.max_missing * len(queries):
            raise AskError(self._complaint(round, missing, len(queries), settings.max_missing))

    def _oracle(self, round: int) -> Any:
        """The oracle; what is spent and the ready-made labels are there for one that takes them."""
        session = self.session
        oracle = session.part(
            "oracle",
            "oracles",
            session.phase(round).config.ask.oracle,
            spent=session.ledger.spent,
            answers=Sampling(session=session).labels,
        )
        if not hasattr(oracle, "ask"):
            raise ConfigError(
                f"ask.oracle is a {type(oracle).__name__}, which rates single responses; let it "
                "compare: ask.oracle={name: bradley_terry, scorer: …}"
            )
        return oracle

    def _put(self, oracle: Any, queries: Sequence[Query]) -> bool:
        """Ask; true where the oracle will answer no more.

        Commit each answer before the next is waited for: a kill loses none that came. A power
        cut may lose those of a fast oracle that came since its last slow one.
        """
        last, is_spent = monotonic(), False
        for answer in _checked(oracle.ask(queries), {q.id for q in queries}):
            self.session.ledger.add_answers([answer], synced=monotonic() - last > _FAST)
            self.session.watch.advance(int(not isinstance(answer.p, Missing)))
            is_spent |= isinstance(answer.p, Missing) and answer.p.final
            last = monotonic()
            self.session.stop.check()
        return is_spent

    def _open(self, round: int, queries: Sequence[Query]) -> list[Query]:
        answered = self.session.ledger.answered(round)
        return [q for q in queries if q.id not in answered]

    def _complaint(self, round: int, missing: Sequence[Query], total: int, limit: float) -> str:
        reasons = Counter(self.session.ledger.reasons([q.id for q in missing]))
        reasons["no answer came"] = len(missing) - reasons.total()
        why = "; ".join(f"{n} × {reason}" for reason, n in reasons.most_common(3) if n)
        return (
            f"{len(missing)} of round {round}'s {total} labels are missing, more than "
            f"ask.max_missing={limit:g} allows ({why}). Mend the oracle and run the same command "
            "again: answers that came are kept and not asked for a second time"
        )


def _checked(answers: Iterable[Answer], asked: set[str]) -> Iterator[Answer]:
    """One answer at most to each question; a p that is no probability becomes Missing."""
    open_ = set(asked)
    for answer in answers:
        if answer.query_id not in open_:
            once = "a second time" if answer.query_id in asked else "which it was not asked"
            raise AskError(
                f"the oracle {answer.oracle!r} answered {answer.query_id!r}, {once}; it must give "
                "one Answer a query, with the query's id"
            )
        open_.remove(answer.query_id)
        p = answer.p if isinstance(answer.p, Missing) else finite(answer.p)
        if not isinstance(p, Missing) and not 0 <= p <= 1:
            p = Missing(f"expected a probability in [0, 1], got {p}")
        yield replace(answer, p=p)
