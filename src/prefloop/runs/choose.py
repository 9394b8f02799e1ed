"""Choose: which two of each prompt's candidates are worth a label."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from prefloop.config import ConfigError
from prefloop.explore._distinct import distinct
from prefloop.explore._select import PROMPTS
from prefloop.rng import stream
from prefloop.runs.session import Session
from prefloop.runs.wants import needs, wants, with_beta
from prefloop.types import Candidates, Missing, Query


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """The verb `choose` of a run."""

    session: Session

    def __call__(self, round: int, candidates: Sequence[Candidates]) -> list[Query]:
        """The round's queries, chosen now or read back. Single responses need none."""
        if self.session.ledger.finished(round, "choose") is None:
            scored = self._scored(round, candidates)
            known = self._informed(round, [c for c in scored if len(c.responses) > 1])
            queries = self._chosen(round, known)
            detail = _counts(candidates) | {"proxy_reward_mean": _mean(scored)}
            self.session.ledger.add_queries(round, queries, {**detail, "queries": len(queries)})
        return self.session.ledger.queries(round)

    def _chosen(self, round: int, candidates: Sequence[Candidates]) -> list[Query]:
        config = self.session.phase(round).config
        rule = with_beta("explore", config.explore.rule, config.learn)
        limit = config.ask.labels or len(candidates)
        worth = PROMPTS.get(config.explore.prompts)
        found: list[tuple[float, Query]] = []
        for options in candidates:
            if (worth or len(found) < limit) and (apart := distinct(options)):
                rng = stream(self.session.config.seed, "choose", apart.responses[0].id)
                a, b = rule(apart, rng)
                if apart.responses[a].text != apart.responses[b].text:
                    pair = [options.responses.index(apart.responses[i]) for i in (a, b)]
                    value = worth(options, (pair[0], pair[1])) if worth else 0.0
                    found.append((value, _query(apart, a, b)))
        best = sorted(range(len(found)), key=lambda i: (-found[i][0], i))[:limit]
        queries = [found[i][1] for i in sorted(best)]
        if candidates and not queries:
            raise ConfigError(
                f"all candidates of round {round} are identical, so there is nothing to compare; "
                "raise sample.temperature or sample.top_p, or look at the prompts"
            )
        return queries

    def _informed(self, round: int, candidates: Sequence[Candidates]) -> list[Candidates]:
        """With what choosing goes by: members and features, or implicit rewards."""
        session, config = self.session, self.session.phase(round).config
        if wants(config) & {"members", "features"}:
            return [session.knowledge.informed(options) for options in candidates]
        if "implicit" not in needs("explore", config.explore.rule):
            return list(candidates)
        gain = session.implicit([r for options in candidates for r in options.responses])
        return [
            replace(options, scores=np.array([[gain[r.id] for r in options.responses]]))
            for options in candidates
        ]

    def _scored(self, round: int, candidates: Sequence[Candidates]) -> list[Candidates]:
        """With the proxy's scores, where the run has a proxy; prompts it cannot rate are left."""
        explore = self.session.phase(round).config.explore
        if explore.scorer is None and "scorer" not in self.session.given:
            if "scores" in needs("explore", explore.rule):
                raise ConfigError(
                    f"explore.rule={explore.rule.name} ranks candidates, but explore.scorer is not "
                    "set; name a scorer, such as reward_model or module:function"
                )
            return list(candidates)
        scorer = self.session.part("scorer", "oracles", explore.scorer)
        flat = [r for options in candidates for r in options.responses]
        scores = iter(scorer.score(flat))
        rated = [(options, [next(scores) for _ in options.responses]) for options in candidates]
        return [
            replace(options, scores=np.array([row]))
            for options, row in rated
            if not any(isinstance(score, Missing) for score in row)
        ]


def _query(options: Candidates, a: int, b: int) -> Query:
    first, second = options.responses[a], options.responses[b]
    name = f"{first.id}-{second.id.rpartition('.')[2]}"
    return Query(prompt=options.prompt, a=first, b=second, id=name)


def _counts(candidates: Sequence[Candidates]) -> dict[str, int | float]:
    """How many candidates repeat another of the same prompt, as a share."""
    total = sum(len(options.responses) for options in candidates)
    distinct = sum(len(Counter(r.text for r in options.responses)) for options in candidates)
    return {"candidates": total, "duplicates": (total - distinct) / max(1, total)}


def _mean(candidates: Sequence[Candidates]) -> float | None:
    """Mean proxy score of the round's candidates, None without a proxy."""
    scores = [float(s) for c in candidates if c.scores is not None for s in c.scores.mean(0)]
    return fmean(scores) if scores else None
