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
            queries = self._asked(round, scored) if self.session.phase(round).asks else []
            detail = _counts(candidates) | {"proxy_reward_mean": _mean(scored)}
            self.session.ledger.add_queries(round, queries, {**detail, "queries": len(queries)})
        return self.session.ledger.queries(round)

    def _asked(self, round: int, scored: Sequence[Candidates]) -> list[Query]:
        several = [options for options in scored if len(options.responses) > 1]
        return self._chosen(round, self._informed(round, several))

    def _chosen(self, round: int, candidates: Sequence[Candidates]) -> list[Query]:
        config = self.session.phase(round).config
        rule = with_beta("explore", config.explore.rule, config.learn)
        limit = config.ask.labels or len(candidates)
        worth = PROMPTS.get(config.explore.prompts)
        found: list[tuple[float, Query]] = []
        for options in candidates:
            if (worth or len(found) < limit) and (apart := self._apart(round, options)):
                rng = stream(self.session.config.seed, "choose", apart.responses[0].id)
                picked = rule(apart, rng)
                if picked and apart.responses[picked[0]].text != apart.responses[picked[1]].text:
                    a, b = (options.responses.index(apart.responses[i]) for i in picked)
                    value = worth(options, (a, b)) if worth else 0.0
                    found.append((value, _query(options, a, b)))
        best = sorted(range(len(found)), key=lambda i: (-found[i][0], i))[:limit]
        queries = [found[i][1] for i in sorted(best)]
        if candidates and not queries:
            raise ConfigError(self._complaint(round, candidates))
        return queries

    def _complaint(self, round: int, candidates: Sequence[Candidates]) -> str:
        """Why there is nothing to ask."""
        rule = self.session.phase(round).config.explore.rule.name
        if not any(distinct(options) for options in candidates):
            return (
                f"all candidates of round {round} are identical, so there is nothing to compare; "
                "raise sample.temperature or sample.top_p, or look at the prompts"
            )
        return (
            f"explore.rule={rule} accepted no pair of any of round {round}'s {len(candidates)} "
            "prompts; lower what it asks for (explore.rule.confidence), group candidates more "
            "coarsely (explore.clusters), or lower sample.temperature"
        )

    def _apart(self, round: int, options: Candidates) -> Candidates | None:
        """Candidates of different texts; all of them for a rule that counts who says the same."""
        rule = self.session.phase(round).config.explore.rule
        return options if "clusters" in needs("explore", rule) else distinct(options)

    def _informed(self, round: int, candidates: Sequence[Candidates]) -> list[Candidates]:
        """With what choosing goes by: members and features, or implicit rewards."""
        session, config = self.session, self.session.phase(round).config
        if config.explore.clusters is not None:
            says = session.part("clusters", "clusters", config.explore.clusters)
            return [replace(c, clusters=tuple(says.clusters(c.responses))) for c in candidates]
        if wants(config) & {"members", "features"}:
            return [session.knowledge.informed(options) for options in candidates]
        if "implicit" not in needs("explore", config.explore.rule):
            return list(candidates)
        gain = session.implicit(round, [r for options in candidates for r in options.responses])
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
        flat = [r for options in candidates for r in options.responses]
        known = self.session.rated(round, flat)
        rated = [(options, [known[r.id] for r in options.responses]) for options in candidates]
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
