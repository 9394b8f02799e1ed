"""Who looks on while a run works, and how it is asked to stop."""

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Protocol, runtime_checkable

log = logging.getLogger("prefloop")


@runtime_checkable
class Watch(Protocol):
    """Told what a run is doing; returns nothing and changes nothing."""

    def begin(self, round: int, stage: str, total: int, unit: str) -> None:
        """A stage starts: `total` units of work lie ahead."""
        ...

    def advance(self, units: int, tokens: int = 0) -> None:
        """Some of the stage's work is done."""
        ...

    def measured(self, metrics: Mapping[str, Any]) -> None:
        """A round is done."""
        ...

    def note(self, text: str) -> None:
        """Something a person should read."""
        ...


class Silent:
    """Nobody looks on."""

    def begin(self, round: int, stage: str, total: int, unit: str) -> None: ...

    def advance(self, units: int, tokens: int = 0) -> None: ...

    def measured(self, metrics: Mapping[str, Any]) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class Logged:
    """Passes on what it is told, and writes what a person should be able to read later."""

    inner: Watch

    def begin(self, round: int, stage: str, total: int, unit: str) -> None:
        log.info("round %d: %s %d %s", round, stage, total, unit)
        self.inner.begin(round, stage, total, unit)

    def advance(self, units: int, tokens: int = 0) -> None:
        self.inner.advance(units, tokens)

    def measured(self, metrics: Mapping[str, Any]) -> None:
        numbers = {k: round(v, 4) for k, v in metrics.items() if isinstance(v, float)}
        log.info("round %s: %s", metrics["round"], numbers)
        self.inner.measured(metrics)

    def note(self, text: str) -> None:
        log.info("%s", text)
        self.inner.note(text)


class LimitReached(Exception):
    """The run goes no further; says which limit and its value."""


class Stopped(Exception):
    """The run was asked to stop, and did, after the chunk it was working on."""


class Stop:
    """A request to stop that a run honours between chunks."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise Stopped if it was asked for; called where everything done so far is committed."""
        if self.asked:
            raise Stopped

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM ask; a second Ctrl-C interrupts at once, losing one chunk.

        Python hears signals in the main thread only; a run in another thread leaves them alone.
        """
        if current_thread() is not main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.asked = True

        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
