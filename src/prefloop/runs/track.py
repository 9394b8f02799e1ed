"""Metrics to TensorBoard and Weights & Biases, for those who have installed `prefloop[track]`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prefloop.config import ConfigError, Track

Sink = Callable[[Mapping[str, float], int], None]


@contextmanager
def tracked(settings: Track, folder: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that sends a round's numbers to every tracker that is switched on."""
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if settings.tensorboard:
            sinks.append(stack.enter_context(_tensorboard(folder)))
        if settings.wandb:
            sinks.append(stack.enter_context(_wandb(folder)))

        def track(metrics: Mapping[str, Any]) -> None:
            numbers = dict(_numbers(metrics))
            for sink in sinks:
                sink(numbers, metrics["round"])

        yield track


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield prefix + name, float(value)


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Sink]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(_missing("tensorboard")) from error
    with SummaryWriter(str(folder / "tensorboard")) as writer:

        def write(numbers: Mapping[str, float], round: int) -> None:
            for name, value in numbers.items():
                writer.add_scalar(name, value, round)

        yield write


@contextmanager
def _wandb(folder: Path) -> Iterator[Sink]:
    try:
        import wandb
    except ImportError as error:
        raise ConfigError(_missing("wandb")) from error
    run = wandb.init(dir=str(folder), id=folder.name, resume="allow")

    def write(numbers: Mapping[str, float], round: int) -> None:
        run.log(dict(numbers), step=round)

    try:
        yield write
    finally:
        run.finish()


def _missing(name: str) -> str:
    return f"track.{name}=true needs {name}, which is not installed; pip install 'prefloop[track]'"
