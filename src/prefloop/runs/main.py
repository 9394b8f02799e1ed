"""Run a recipe in a folder; run it again to continue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from prefloop.config import Config, load, parse
from prefloop.loop import Metrics, Parts, online
from prefloop.models.load import load_weights, save
from prefloop.runs.ask import Asking
from prefloop.runs.checkpoints import size_gb
from prefloop.runs.choose import Choosing
from prefloop.runs.data import Given
from prefloop.runs.learn import Learning
from prefloop.runs.measure import Measuring
from prefloop.runs.open import opened
from prefloop.runs.sample import Sampling
from prefloop.runs.session import Session
from prefloop.runs.summary import write_report
from prefloop.runs.track import tracked
from prefloop.runs.watch import Silent, Stop, Stopped, Watch

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
    parts = {"oracle": _callable(oracle), "scorer": _callable(scorer), "gold": _callable(gold)}
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


def _callable(part: Any) -> Any:
    """A plain function becomes an oracle; anything else is a part already."""
    if part is None or hasattr(part, "ask") or hasattr(part, "score"):
        return part
    from prefloop.oracles.function import Function

    return Function(target=part)


def _run(session: Session) -> Result:
    status: Status = "finished"
    done = [session.ledger.finished(r, "metrics") for r in range(session.rounds + 1)]
    metrics: list[Metrics] = [m for m in done if m is not None]
    try:
        with tracked(session.config.track, session.folder.path) as track:
            for found in _rounds(session, len(metrics)):
                numbers: Metrics = dict.fromkeys(NAMES) | found
                session.ledger.finish(numbers["round"], "metrics", numbers)
                metrics.append(numbers)
                session.folder.write_metrics(metrics)
                session.checkpoints.prune(best_round(metrics))
                session.watch.measured(numbers)
                track(numbers)
                if _over(session, numbers):
                    status = "limit"
                    break
                session.stop.check()
    except Stopped:
        status = "stopped"
        session.watch.note(f"stopped; the same command continues in {session.folder.path}")
    _leave(session, metrics, status)
    return Result(folder=session.folder.path, status=status, metrics=metrics)


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


def _over(session: Session, numbers: Metrics) -> bool:
    """Has the run reached a limit that ends it?"""
    limits, kl = session.config.limits, numbers.get("kl")
    if limits.kl is not None and kl is not None and kl > limits.kl:
        session.watch.note(f"KL is {kl:.1f} nats, above limits.kl={limits.kl:g}: stopping here")
        return True
    disk = session.config.checkpoint.disk_gb
    if disk is not None and (used := size_gb(session.folder.path)) > disk:
        session.watch.note(f"the folder holds {used:.3g} GB, above checkpoint.disk_gb={disk:g}")
        return True
    return False


def best_round(metrics: Sequence[Metrics]) -> int | None:
    """The trained round with the best gold reward; else the proxy's, else agreement's."""
    for name in ("gold_reward_mean", "proxy_reward_mean", "eval_accuracy"):
        rated = [m for m in metrics if m["round"] > 0 and m.get(name) is not None]
        if rated:
            return int(max(rated, key=lambda m: m[name])["round"])
    return None


def _leave(session: Session, metrics: Sequence[Metrics], status: Status) -> None:
    """What a person finds afterwards: the policy, the best policy and the report."""
    last = session.policy.version
    if metrics and last == metrics[-1]["round"]:
        save(session.policy.loaded, session.folder.policy)
        best = best_round(metrics)
        if best is not None and best != last and best in session.checkpoints.rounds():
            load_weights(session.policy.model, dict(session.checkpoints.load(best).weights))
            save(session.policy.loaded, session.folder.best)
    write_report(session.folder.path, status=status)
