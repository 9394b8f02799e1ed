"""Draw, train proxies, choose and climb by each, say how far it went well."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prefloop.compare.curves import last
from prefloop.compare.plan import Job
from prefloop.compare.work import Done, work
from prefloop.config import ConfigError
from prefloop.overoptimize import analysis, policies, proxies
from prefloop.overoptimize.analysis import Outcome
from prefloop.overoptimize.draws import Draws, comparisons, samples, scorer
from prefloop.overoptimize.held import hold_to
from prefloop.overoptimize.proxies import Trained
from prefloop.overoptimize.request import Proxy, Request
from prefloop.overoptimize.results import write
from prefloop.types import Scorer

Say = Callable[[str], None]
SPARE = 1.25
"""pairs drawn for each label: gold cannot tell all pairs apart"""


def overoptimize(request: Request, out: Path, *, workers: int = 1, say: Say = print) -> Outcome:
    """Do whatever is not done yet, and write table.md, results.json and overoptimization.svg.

    The same request on the same folder continues; proxies, policies and seeds may be added.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    for line in described(request):
        say(line)
    hold_to(request, out)
    stages = _Stages(request=request, out=out, workers=workers, say=say)
    ready = stages.trained()
    chosen, unit = stages.chosen(ready)
    climbed = stages.climbed(ready, unit)
    outcome = Outcome(chosen=chosen, climbed=climbed, gold_unit=unit, threshold=request.threshold)
    write(out, request, outcome)
    return outcome


def described(request: Request) -> list[str]:
    """What will be done, in words."""
    trained = [proxy for proxy in request.proxies if proxy.kind != "given"]
    runs = sum(proxies.copies(request, p) for p in request.proxies if p.kind == "reward")
    climbs = len(request.policies) * len(request.proxies) * request.seeds
    return [
        f"{request.samples} samples to each of {request.prompts} prompts; best of n by "
        f"{len(request.proxies)} proxies ({', '.join(p.name for p in request.proxies)})",
        f"{len(trained)} of them trained for each of {request.seeds} seeds, {runs} in runs of "
        f"their own; {climbs} runs to climb them",
    ]


@dataclass(frozen=True, kw_only=True)
class _Stages:
    """One after the other; each finds what it has done before."""

    request: Request
    out: Path
    workers: int
    say: Say

    def trained(self) -> list[Trained]:
        """Every proxy of every seed."""
        request, found = self.request, []
        jobs = [
            proxies.reward_job(request, proxy, seed, self.out)
            for proxy in request.proxies
            if proxy.kind == "reward"
            for seed in range(request.seeds)
        ]
        failed = [done for done in self._worked(jobs) if not done.is_good]
        if failed:
            raise ConfigError(
                f"{failed[0].job.method}, seed {failed[0].job.seed} could not be trained: "
                f"{failed[0].reason}"
            )
        gold, pool = self._gold, cache(self._pool)
        for proxy in request.proxies:
            for seed in range(proxies.copies(request, proxy)):
                found.append(self._one(proxy, seed, gold, pool))
        return found

    def chosen(self, ready: Sequence[Trained]) -> tuple[list[analysis.Chosen], float]:
        """Best of n by each, and gold's unit."""
        drawn = samples(self.request, self.out, self._telling("samples"))
        gold = drawn.scored(self._gold, self.out / "scores" / "gold.npy")
        found = []
        for proxy in self.request.proxies:
            scores = [
                drawn.scored(
                    scorer(one.part),
                    self.out / "scores" / f"{proxy.folder}-seed-{one.seed}.npy",
                )
                for one in _of(proxy, ready)
            ]
            found.append(
                analysis.chosen(
                    proxy.name, self.request.counts, scores, gold, self.request.threshold
                )
            )
            self.say(f"best of n by {proxy.name}: gold {found[-1].gold_gain[-1]:+.2f}")
        return found, analysis.spread(gold)

    def climbed(self, ready: Sequence[Trained], unit: float) -> list[analysis.Climbed]:
        """Every recipe against every proxy, seed by seed."""
        request, pool = self.request, cache(self._pool)
        jobs = [
            policies.job(request, method, _of_seed(proxy, ready, seed), seed, pool, self.out)
            for seed in range(request.seeds)
            for method in request.policies
            for proxy in request.proxies
        ]
        done = self._worked(jobs)
        found = []
        for method in request.policies:
            for proxy in request.proxies:
                mine = [d for d in done if (d.job.method, d.job.point) == (method.name, proxy.name)]
                runs = {d.job.seed: policies.points(d.rows) for d in mine}
                failed = {
                    f"seed {d.job.seed}": d.reason or "nothing was measured"
                    for d in mine
                    if not runs[d.job.seed][0]
                }
                runs = {seed: found for seed, found in runs.items() if found[0]}
                found.append(analysis.climbed(method.name, proxy.name, runs, failed, unit))
        return found

    @property
    def _gold(self) -> Scorer:
        part = self.request.base.measure.gold
        if part is None:
            raise ConfigError("the true reward must be known; set measure.gold to a scorer")
        return scorer(part)

    def _pool(self, seed: int) -> Draws:
        """The seed's pairs, as many as the hungriest proxy needs."""
        most = max((proxy.labels for proxy in self.request.proxies), default=0)
        count = int(SPARE * (most or 1024))
        return comparisons(self.request, seed, count, self.out, self._telling(f"pairs {seed}"))

    def _one(self, proxy: Proxy, seed: int, gold: Scorer, pool: proxies.Pool) -> Trained:
        if proxy.kind == "given":
            return proxies.given(proxy)
        if proxy.kind == "classifier":
            return proxies.classifier(proxy, seed, pool, gold, self.out)
        return proxies.rewarded(
            proxy, seed, proxies.reward_job(self.request, proxy, seed, self.out).folder
        )

    def _worked(self, jobs: Sequence[Job]) -> list[Done]:
        count = 0

        def told(done: Done) -> None:
            nonlocal count
            count += 1
            name = f"{done.job.method} · {done.job.point} · seed {done.job.seed}"
            ends = [last(done.rows, key) for key in ("gold_reward_mean", "kl")]
            numbers = "  ".join(f"{x:.2f}" for x in ends if x is not None)
            said = f"gold, KL {numbers}" if done.is_good else f"failed: {done.reason}"
            self.say(f"[{count}/{len(jobs)}] {name}: {said}")

        return work(jobs, self.workers, told) if jobs else []

    def _telling(self, what: str) -> Callable[[int, int], None]:
        """A line at every tenth of the way."""
        tenths: set[int] = set()

        def told(done: int, total: int) -> None:
            tenth = 10 * done // max(1, total)
            if tenth not in tenths:
                tenths.add(tenth)
                self.say(f"{what}: {done} of {total} prompts")

        return told


def _of(proxy: Proxy, ready: Iterable[Trained]) -> list[Trained]:
    return [one for one in ready if one.proxy.name == proxy.name]


def _of_seed(proxy: Proxy, ready: Iterable[Trained], seed: int) -> Trained:
    mine = _of(proxy, ready)
    return mine[seed % len(mine)]
