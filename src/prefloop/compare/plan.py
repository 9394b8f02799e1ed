"""What a comparison runs: decided before the first run, and held to when it is continued."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prefloop import whole
from prefloop.compare.budget import rounds_for
from prefloop.compare.grid import OWN, Axis, Points, around, crossed
from prefloop.compare.methods import Method, as_folder
from prefloop.compare.testbeds import settings_of
from prefloop.config import Config, ConfigError, parse
from prefloop.runs.data import Given
from prefloop.runs.folder import FREE, FolderError
from prefloop.runs.open import phases_of
from prefloop.runs.require import require

TUNING = 1000
"""the first of the seeds that grids are tried on; reported seeds are 0, 1, 2, …"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for."""

    methods: Sequence[Method]
    labels: int
    seeds: int = 5
    tune_seeds: int = 1
    testbed: str = "plain"
    grid: Sequence[Axis] = ()
    """none: the default grid"""
    settings: Mapping[str, Any]
    """dotted, for every method"""

    def __post_init__(self) -> None:
        for name, least in (("labels", 1), ("seeds", 1), ("tune_seeds", 0)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
        if self.seeds > TUNING:
            raise ConfigError(f"seeds must be at most {TUNING}, got {self.seeds}")
        if "seed" in self.settings:
            raise ConfigError("seed is the comparison's to set; say how many with --seeds")
        if self.grid and not self.tune_seeds:
            raise ConfigError("a grid without tuning seeds would be ignored; set --tune-seeds 1")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A method with its share of the labels and its grid."""

    method: Method
    config: Config
    """every setting but the seed and the grid's"""
    points: Points


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to be made."""

    method: str
    point: str
    seed: int
    config: Config
    folder: Path

    @property
    def tunes(self) -> bool:
        """Is it a trial of the grid, and not reported?"""
        return self.seed >= TUNING


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every run of a comparison in the folder `out`."""

    out: Path
    request: Request
    entries: Sequence[Entry]

    @classmethod
    def of(cls, request: Request, out: Path) -> "Plan":
        """The plan; ConfigError for a mistake in any method, before anything is run."""
        shared = settings_of(request.testbed, request.settings) | {**request.settings}
        return cls(
            out=out,
            request=request,
            entries=[_entry(method, request, shared) for method in request.methods],
        )

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know about how they are made."""
        laws: dict[str, list[str]] = {}
        for entry in self.entries:
            sample = phases_of(entry.config)[-1].config.sample
            law = f"temperature {sample.temperature:g}, top-p {sample.top_p:g}"
            laws.setdefault(law, []).append(entry.method.name)
        if len(laws) < 2:
            return []
        return [
            "Gold rewards are of responses drawn as in training, and not all methods draw alike ("
            + "; ".join(f"{', '.join(names)}: {law}" for law, names in laws.items())
            + "): they differ for that reason too. One law for all makes them equal, for example "
            "sample.top_p=1."
        ]

    @property
    def trials(self) -> list[Job]:
        """The grid of every method, on the tuning seeds; nothing where there is no choice."""
        seeds = range(TUNING, TUNING + self.request.tune_seeds)
        tuned = [entry for entry in self.entries if len(entry.points) > 1]
        return [self._job(e, point, seed) for e in tuned for point in e.points for seed in seeds]

    def reported(self, picks: Mapping[str, str]) -> list[Job]:
        """The picked point of every method that has one, on the reported seeds; seed by seed."""
        return [
            self._job(entry, picks[entry.method.name], seed)
            for seed in range(self.request.seeds)
            for entry in self.entries
            if entry.method.name in picks
        ]

    def commit(self) -> None:
        """Write comparison.yaml, or refuse to go on with a comparison that was another one.

        Methods and seeds may be added; whatever a run depends on may not change.
        """
        path, now = self.out / "comparison.yaml", self._written()
        then = _read(path) if path.exists() else now
        _refuse(then, now, path)
        now["methods"] = then["methods"] | now["methods"]
        self.out.mkdir(parents=True, exist_ok=True)
        whole.write(path, yaml.safe_dump(now, sort_keys=False, allow_unicode=True))

    def _job(self, entry: Entry, point: str, seed: int) -> Job:
        settings = {**entry.points[point], "seed": seed}
        return Job(
            method=entry.method.name,
            point=point,
            seed=seed,
            config=entry.config.override(settings),
            folder=self.out / entry.method.folder / as_folder(point) / f"seed-{seed}",
        )

    def _written(self) -> dict[str, Any]:
        methods = {
            entry.method.name: {
                "points": entry.points,
                "config": phases_of(entry.config)[-1].config.model_dump(mode="json"),
            }
            for entry in self.entries
        }
        return {
            "labels": self.request.labels,
            "testbed": self.request.testbed,
            "tune_seeds": self.request.tune_seeds,
            "methods": methods,
        }


def _entry(method: Method, request: Request, shared: Mapping[str, Any]) -> Entry:
    """A method's config and grid, both checked."""
    settings = {"model.threads": 1, **shared, **method.settings}
    config = parse({}).override(settings)
    config = config.override(rounds_for(config, request.labels))
    points: Points = {OWN: {}}
    if request.tune_seeds:
        points = crossed(config, request.grid) if request.grid else around(config)
    for point in points.values():
        require(phases_of(config.override(point)), Given(), {})
    if phases_of(config)[-1].config.measure.gold is None:
        raise ConfigError("methods are compared by a gold reward; set measure.gold to a scorer")
    return Entry(method=method, config=config, points=points)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {**tree, "methods": dict(tree["methods"])}
    except (TypeError, KeyError, yaml.YAMLError) as error:
        raise FolderError(
            f"{path} is damaged, so it cannot be told whether this is the same comparison; restore "
            "it, or start another with --out"
        ) from error


def _refuse(then: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    both = then["methods"].keys() & now["methods"].keys()
    old, new = (
        dict(_flat({**tree, "methods": {name: tree["methods"][name] for name in both}}))
        for tree in (then, now)
    )
    changed = [
        f"  {key}: was {old.get(key)!r}, now {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.partition(" config ")[2].startswith(FREE)
    ]
    if changed:
        raise ConfigError(
            f"{path} is of a comparison with other settings:\n" + "\n".join(changed) + "\n"
            "put them back to continue it (seeds and methods may be added), or start another "
            "with --out"
        )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their path, the words of which are separated by blanks above the config."""
    for key, value in tree.items():
        between = "." if " config " in prefix else " "
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}{between}")
        else:
            yield f"{prefix}{key}", value
