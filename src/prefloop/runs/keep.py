"""Which single responses a round learns from: all, the best of them, and some of a file's."""

from collections import Counter
from collections.abc import Sequence
from time import perf_counter

from prefloop.config import ConfigError
from prefloop.rng import stream
from prefloop.runs.session import Session
from prefloop.runs.wants import needs
from prefloop.types import Missing, Response


def kept(session: Session, round: int) -> list[Response]:
    """The round's samples that are worth learning from, then what is replayed beside them.

    Rejection-sampling fine-tuning (RAFT; Dong et al. 2023, arXiv:2304.06767) keeps the best of each
    prompt or the best share of all; the latter favours prompts that are easy.
    """
    learn = session.phase(round).config.learn
    drawn = session.ledger.responses(round, "train")
    if learn.rows != "all" or "reward" in needs("losses", learn.loss):
        drawn = _best(drawn, _scores(session, round, drawn), learn.rows, learn.top)
    return drawn + (_replayed(session, round, len(drawn)) if learn.replay else [])


def _scores(session: Session, round: int, drawn: Sequence[Response]) -> dict[str, float]:
    """Of those that can be rated; ConfigError where too many cannot.

    Which could is committed: a scorer that has recovered since changes no round that is under way.
    """
    rated = session.rated(round, drawn)
    lost = {name: s.reason for name, s in rated.items() if isinstance(s, Missing)}
    known = session.ledger.finished(round, "rated")
    if known is None:
        limit = session.phase(round).config.ask.max_missing
        if len(lost) > limit * len(drawn):
            raise ConfigError(
                f"{len(lost)} of round {round}'s {len(drawn)} samples have no score, more than "
                f"ask.max_missing={limit:g} allows ({next(iter(lost.values()))}); mend "
                "explore.scorer and run the same command again"
            )
        known = {"lost": [*lost]}
        session.ledger.finish(round, "rated", known)
    left = {n: s for n, s in rated.items() if not isinstance(s, Missing) and n not in known["lost"]}
    return _with_siblings(session, round, drawn, left)


def _with_siblings(
    session: Session, round: int, drawn: Sequence[Response], scores: dict[str, float]
) -> dict[str, float]:
    """Without those that nothing is left to be compared with, where samples are."""
    if session.phase(round).config.credit.estimator != "leave_one_out":
        return scores
    each = Counter(r.prompt.id for r in drawn if r.id in scores)
    kept = {r.id for r in drawn if each[r.prompt.id] > 1}
    return {name: score for name, score in scores.items() if name in kept}


def _best(
    drawn: Sequence[Response], scores: dict[str, float], rows: str, top: float
) -> list[Response]:
    """In the order they were drawn; equal scores go to the first."""
    rated = [r for r in drawn if r.id in scores]
    ranked = sorted(rated, key=lambda r: -scores[r.id])
    if rows == "top":
        chosen = {r.id for r in ranked[: max(1, round(top * len(ranked)))]}
    elif rows == "best":
        chosen = set({r.prompt.id: r.id for r in reversed(ranked)}.values())
    else:
        chosen = set(scores)
    return [r for r in rated if r.id in chosen]


def _replayed(session: Session, round: int, fresh: int) -> list[Response]:
    """Responses of the file, so many that they are `learn.replay` of all rows; committed once."""
    share = session.phase(round).config.learn.replay
    if not session.ledger.drawn(round, "replay", 0):
        pool = [i.responses[0] for i in session.data.items if len(i.responses) == 1]
        if not pool:
            raise ConfigError("learn.replay needs data.completions with rows to replay")
        count = max(1, int(fresh * share / (1 - share) + 0.5))
        order = stream(session.config.seed, "replay", round).integers(len(pool), size=count)
        found = [
            session.named(pool[place], f"y{round}.{k}.0", "dataset")
            for k, place in enumerate(order.tolist())
        ]
        session.commit_draw(round, "replay", 0, found, {"replay": share}, perf_counter())
    return session.ledger.responses(round, "replay")
