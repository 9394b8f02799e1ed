"""Run a recipe in a folder; run it again to continue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from prefloop import plugins, whole
from prefloop.config import Config, load, parse
from prefloop.loop import Metrics, Parts, online
from prefloop.measure.phases import last_phase
from prefloop.models.load import load_weights, save
from prefloop.runs.ask import Asking
from prefloop.runs.checkpoints import size_gb
from prefloop.runs.choose import Choosing
from prefloop.runs.data import Given
from prefloop.runs.folder import writing
from prefloop.runs.learn import Learning
from prefloop.runs.measure import Measuring
from prefloop.runs.memory import peak_gb
from prefloop.runs.open import opened
from prefloop.runs.sample import Sampling
from prefloop.runs.session import Session
from prefloop.runs.summary import write_report
from prefloop.runs.track import tracked
from prefloop.runs.watch import LimitReached, Silent, Stop, Stopped, Watch

NAMES = (
    *("round", "phase", "labels_total", "labels_missing", "proxy_reward_mean"),
    *("gold_reward_mean", "gold_reward_std", "kl", "win_rate", "win_rate_low", "win_rate_high"),
    *("response_length_mean", "perplexity_ref", "logp_chosen", "logp_rejected"),
    *("tokens_generated", "tokens_trained"),
    *("seconds_sample", "seconds_ask", "seconds_learn", "seconds_measure"),
)
"""every line of metrics.jsonl has at least these; null where one does not apply"""

Status = Literal["finished", "stopped", "limit"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to."""

    folder: Path
    status: Status
    metrics: Sequence[Mapping[str, Any]]
    """one entry a round, round 0 first"""

    @property
    def policy(self) -> Path:
        """The trained policy, an ordinary Hugging Face folder."""
        return self.folder / "policy"


def run(
    recipe: str | Path | Config,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    *,
    data: Given | None = None,
    oracle: Any = None,
    scorer: Any = None,
    gold: Any = None,
    watch: Watch | None = None,
) -> Result:
    """Align a model: `run("online_dpo", "runs/one", {"model.path": "my-model"}, oracle=judge)`.

    `recipe` is a recipe's name, a YAML file or a Config; `settings` are dotted overrides. `data`
    and the parts `oracle`, `scorer` and `gold` may be Python objects in place of what the config
    names. An existing folder is continued; with other settings it is refused with ConfigError.
    """
    config = read(recipe).override(settings or {})
    stop = Stop()
    handed = {"oracle": oracle, "scorer": scorer, "gold": gold}
    parts = {role: plugins.as_oracle(part) for role, part in handed.items() if part is not None}
    held = opened(
        config,
        Path(out),
        watch=watch or Silent(),
        stop=stop,
        given=data or Given(),
        parts=parts,
    )
    with stop.on_signals(), held as session:
        return _run(session)


def read(recipe: str | Path | Config) -> Config:
    """The config a recipe's name or a YAML file stands for."""
    if isinstance(recipe, Config):
        return recipe
    if str(recipe).endswith((".yaml", ".yml")):
        return load(Path(recipe))
    return parse({"recipe": str(recipe)})


def _run(session: Session) -> Result:
    """Do the rounds that are left, and leave the folder fit to be read."""
    metrics: list[Metrics] = session.ledger.details("metrics")
    status: Status = "finished"
    try:
        with tracked(session.config.track, session.folder.path) as track:
            if metrics:
                _tidy(session, metrics)
            _check_limits(session, metrics)
            for found in _rounds(session, len(metrics)):
                metrics.append(dict.fromkeys(NAMES) | found)
                _commit(session, metrics)
                track(metrics[-1])
                _check_limits(session, metrics)
                session.stop.check()
    except Stopped:
        status = "stopped"
        session.watch.note(f"stopped; the same command continues in {session.folder.path}")
    except LimitReached as limit:
        status = "limit"
        session.watch.note(str(limit))
    _leave(session, metrics, status)
    return Result(folder=session.folder.path, status=status, metrics=metrics)


def _commit(session: Session, metrics: Sequence[Metrics]) -> None:
    """A round is over: its numbers to the ledger, to metrics.jsonl and to whoever watches."""
    session.ledger.finish(metrics[-1]["round"], "metrics", metrics[-1])
    _tidy(session, metrics)
    session.watch.measured(metrics[-1])


def _tidy(session: Session, metrics: Sequence[Metrics]) -> None:
    """Make the folder's files agree with the rounds that are committed."""
    session.folder.write_metrics(metrics)
    last = metrics[-1]["round"]
    session.checkpoints.prune(last=last, best=best_round(metrics), needed=session.needed(last))


def _rounds(session: Session, done: int) -> Iterator[Metrics]:
    """The rounds still to do, round 0 (the initial policy, measured) first."""
    measure = Measuring(session=session)
    parts = Parts(
        sample=Sampling(session=session),
        choose=Choosing(session=session),
        ask=Asking(session=session),
        learn=Learning(session=session),
        measure=measure,
    )
    first: Iterable[Metrics] = () if done else ({"round": r, **measure(r)} for r in [0])
    return chain(first, online(parts, range(max(done, 1), session.rounds + 1)))


def _check_limits(session: Session, metrics: Sequence[Metrics]) -> None:
    """Raise LimitReached when the last round crossed a limit that ends the run."""
    limit, kl = session.config.limits.kl, metrics[-1].get("kl") if metrics else None
    anchors = bool(metrics) and session.phase(metrics[-1]["round"]).anchors
    if limit is not None and kl is not None and kl > limit and not anchors:
        raise LimitReached(f"KL is {kl:.1f} nats, above limits.kl={limit:g}: the run ends here")
    disk, used = session.config.checkpoint.disk_gb, size_gb(session.folder.path)
    if disk is not None and used > disk:
        raise LimitReached(
            f"the run folder holds {used:.3g} GB, above checkpoint.disk_gb={disk:g}: the run ends "
            "here; raise it and run the same command again to go on"
        )


def best_round(metrics: Sequence[Metrics]) -> int | None:
    """The trained round with the best gold reward; else the proxy's, else agreement's.

    By the proxy only among the rounds of the last phase: another phase may have another proxy.
    """
    for name in ("gold_reward_mean", "proxy_reward_mean", "eval_accuracy"):
        rounds = last_phase(metrics) if name == "proxy_reward_mean" else metrics
        rated = [m for m in rounds if m["round"] > 0 and m.get(name) is not None]
        if rated:
            return int(max(rated, key=lambda m: m[name])["round"])
    return None


def _leave(session: Session, metrics: Sequence[Metrics], status: Status) -> None:
    """What a person finds afterwards: the policy, the best policy and the report."""
    kept = session.checkpoints.rounds()
    last, best = metrics[-1]["round"] if metrics else 0, best_round(metrics)
    for round, folder in ((last, session.folder.policy), (best, session.folder.best)):
        if round in kept:
            _publish(session, round, folder)
    session.folder.leave(status)
    if peak := peak_gb(session.policy.loaded.device):
        session.watch.note(f"the most memory it held at once was {peak:.2f} GB")
    with writing(session.folder.report):
        write_report(session.folder.path)


def _publish(session: Session, round: int, folder: Path) -> None:
    """The policy of a round as a Hugging Face folder, whole or not at all."""
    load_weights(session.policy.model, dict(session.checkpoints.load(round).weights))
    with writing(folder), whole.folder(folder) as part:
        save(session.policy.loaded, part)
