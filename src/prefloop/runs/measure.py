"""Measure: what the alignment did to the policy, on prompts it was never trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from time import perf_counter
from typing import Any

from prefloop.config import Part
from prefloop.measure import alignment
from prefloop.rng import stream
from prefloop.runs.memory import peak_gb
from prefloop.runs.sample import sampling
from prefloop.runs.session import Model, Session
from prefloop.types import Missing, Prompt, Response, SamplingSettings

Numbers = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """The verb `measure` of a run."""

    session: Session

    def __call__(self, round: int) -> Numbers:
        """The round's numbers, measured now or read back."""
        ledger = self.session.ledger
        if ledger.finished(round, "measure") is None:
            began = perf_counter()
            numbers = self._costs(round) | (self._measured(round) if self._due(round) else {})
            numbers["seconds_measure"] = perf_counter() - began
            ledger.finish(round, "measure", numbers)
        return ledger.finished(round, "measure") or {}

    def _due(self, round: int) -> bool:
        is_last = round in (self.session.rounds, self.session.anchor(round + 1))
        due = round % self.session.config.measure.every == 0 or is_last
        return due and bool(self.session.data.eval_prompts)

    def _measured(self, round: int) -> Numbers:
        settings = sampling(self.session.phase(round).config.sample)
        prompts = self._prompts(self.session.config.measure.prompts)
        self.session.watch.begin(round, "measure", 2 * len(prompts), "samples")
        drawn = self._draw(round, "eval", prompts, settings)
        numbers = alignment.fluency(drawn, self._logps(self.session.origin(round), drawn))
        numbers |= self._rated(round, drawn) | self._divergence(round, settings)
        numbers |= self._proxy_on_policy(round, drawn)
        return numbers | (self._agreement(round) if round else {})

    def _prompts(self, count: int) -> Sequence[Prompt]:
        return self.session.data.eval_prompts[:count]

    def _draw(
        self, round: int, purpose: str, prompts: Sequence[Prompt], settings: SamplingSettings
    ) -> list[Response]:
        """One response to each prompt, committed a chunk at a time."""
        with self.session.policy.rollouts():
            for number, places in enumerate(self.session.chunks(len(prompts))):
                if not self.session.ledger.drawn(round, purpose, number):
                    chunk = [prompts[i] for i in places]
                    self._commit(round, purpose, number, chunk, settings, places)
                self.session.watch.advance(len(places))
        return self.session.ledger.responses(round, purpose)

    def _commit(
        self,
        round: int,
        purpose: str,
        number: int,
        prompts: Sequence[Prompt],
        settings: SamplingSettings,
        places: range,
    ) -> None:
        session, began = self.session, perf_counter()
        rng = stream(session.config.seed, purpose, round, number)
        groups = session.policy.sample(prompts, n=1, settings=settings, rng=rng)
        drawn = [
            session.named(group[0], f"{purpose}{round}.{place}.0", "policy")
            for place, group in zip(places, groups, strict=True)
        ]
        session.commit_draw(round, purpose, number, drawn, asdict(settings), began)

    def _logps(self, model: Model, responses: Sequence[Response]) -> list[float]:
        known = self.session.frozen_logps(model, responses)
        return [known[r.id] for r in responses]

    def _divergence(self, round: int, settings: SamplingSettings) -> Numbers:
        whole = SamplingSettings(max_new_tokens=settings.max_new_tokens)
        prompts = self._prompts(self.session.config.measure.kl_samples)
        drawn = self._draw(round, "kl", prompts, whole)
        own = self._logps(self.session.now(round), drawn)
        return alignment.divergence(drawn, own, self._logps(self.session.origin(round), drawn))

    def _rated(self, round: int, drawn: Sequence[Response]) -> Numbers:
        """Scores by gold, proxy and judges; wins over round 0 by gold, or else by the proxy."""
        measure = self.session.config.measure
        proxy = self.session.phase(round).config.explore.scorer
        numbers: Numbers = {"judges": {}}
        for part in measure.judges:
            if scores := self._scores(part.name, part, drawn):
                numbers["judges"][part.name] = fmean(scores)
        if scores := self._scores("scorer", proxy, drawn):
            numbers |= alignment.reward("proxy", scores) | self._won(round, "scorer", proxy, drawn)
        if scores := self._scores("gold", measure.gold, drawn):
            numbers |= alignment.reward("gold", scores)
            if getattr(self.session.part("gold", "oracles", measure.gold), "is_log_odds", False):
                numbers |= alignment.positive(scores)
            numbers |= self._won(round, "gold", measure.gold, drawn)
        return numbers

    def _proxy_on_policy(self, round: int, drawn: Sequence[Response]) -> Numbers:
        """Does the proxy still rank as gold does? Asked of two samples of each held-out prompt:
        that of the report and that of the KL."""
        proxy = self.session.phase(round).config.explore.scorer
        whole = {r.prompt.id: r for r in self.session.ledger.responses(round, "kl")}
        first = [r for r in drawn if r.prompt.id in whole]
        second = [whole[r.prompt.id] for r in first]
        found: list[list[float]] = []
        for role, part in (("scorer", proxy), ("gold", self.session.config.measure.gold)):
            for responses in (first, second):
                scores = self._scores(role, part, responses)
                if not scores:
                    return {}
                found.append(scores)
        return alignment.same_order(*found)

    def _won(self, round: int, role: str, part: Part | None, drawn: Sequence[Response]) -> Numbers:
        """Wins over the initial policy's samples; round 0 has nothing to win against."""
        if round == 0:
            return {}
        before = self.session.ledger.responses(self.session.anchor(round), "eval")
        scores, first = self._scores(role, part, drawn), self._scores(role, part, before)
        if not scores or not first:
            return {}
        judge = "proxy" if role == "scorer" else role
        return {"win_judge": judge} | alignment.against(scores, drawn, first, before)

    def _scores(
        self, role: str, part: Part | None, responses: Sequence[Response]
    ) -> list[float] | None:
        """Scores of all responses, kept in the ledger; None without such a scorer."""
        session = self.session
        if _is_untrained(session, part) or (part is None and role not in session.given):
            return None
        name = session.proxy_name(part) if role == "scorer" else role
        scores = list(session.scores(name, role, part, responses).values())
        if lost := [s.reason for s in scores if isinstance(s, Missing)]:
            session.watch.note(f"{role} cannot rate {len(lost)} samples: {lost[0]}")
            return None
        known = session.ledger.scores(name, [r.id for r in responses])
        return [known[r.id] for r in responses]

    def _agreement(self, round: int) -> Numbers:
        """Agreement of the implicit reward with held-out ready-made labels, where there are any."""
        items = [i for i in self.session.data.eval_items if i.p is not None]
        items = items[: self.session.config.measure.prompts]
        if not items:
            return {}
        flat = [r for item in items for r in item.responses]
        own = self.session.unkept_logps(self.session.policy, flat)
        with self.session.origin(round).opened() as initial:
            start = self.session.unkept_logps(initial, flat)
        gain = [x - y for x, y in zip(own, start, strict=True)]
        margins = [a - b for a, b in zip(gain[::2], gain[1::2], strict=True)]
        return alignment.agreement(margins, [i.p for i in items if i.p is not None])

    def _costs(self, round: int) -> Numbers:
        """Labels, tokens, seconds and memory."""
        ledger = self.session.ledger
        answered, missing = ledger.labels()
        chosen = ledger.finished(round, "choose") or {}
        tokens, seconds = ledger.drawing(round)
        return {
            "phase": self.session.phase(round).name,
            "origin": self.session.anchor(round),
            "labels_total": answered,
            "labels_missing": missing,
            "labels_cost": ledger.spent(),
            "duplicates": chosen.get("duplicates"),
            "proxy_reward_train": chosen.get("proxy_reward_mean"),
            "eval_prompts_seen": ledger.shared_prompts("train", "eval"),
            "tokens_generated": tokens,
            "seconds_sample": seconds,
            "seconds_ask": (ledger.finished(round, "ask") or {}).get("seconds"),
            "memory_gb": peak_gb(self.session.policy.loaded.device),
        }


def _is_untrained(session: Session, part: Part | None) -> bool:
    """Is it the run's own reward model, before there is one?"""
    return part is not None and part.name == "learned" and session.reward is None
