"""A whole run, small enough to be made dozens of times: a random model, twelve prompts, two rounds.

What runs in a process of its own is forked from a server that has torch imported already, so that
a kill is a real one and costs no start-up.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import sleep
from typing import Any
from unittest.mock import patch

import torch
from transformers import LlamaForCausalLM

import tiny
from prefloop.runs import Given, Result, run, summary
from prefloop.types import Answer, Missing, Query, Response, content_hash

THINGS = ("film", "plot", "cast", "score", "scene", "actor", "script", "end")
PROMPTS = [f"the {thing} is" for thing in THINGS]
HELD = [f"a {thing} was" for thing in ("story", "joke", "song", "cut")]
SETTINGS: dict[str, Any] = {
    "rounds": 2,
    "model.threads": 1,
    "sample.prompts": 8,
    "sample.sources": {"policy": 3},
    "sample.chunk": 12,
    "sample.max_new_tokens": 6,
    "sample.precision": "float32",
    "explore.rule": "best_worst",
    "learn.lr": 1e-2,
    "learn.batch": 4,
    "learn.epochs": 2,
    "learn.precision": "float32",
    "measure.prompts": 4,
    "measure.kl_samples": 4,
    "checkpoint.keep": 1,
}


def network(seed: int = 0) -> LlamaForCausalLM:
    """A random causal language model of 20 000 parameters."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        tiny.config(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, initializer_range=0.2
        )
    )


def llama(folder: Path, seed: int = 0) -> str:
    """The folder of that model with a tokenizer of one token a character."""
    network(seed).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A scorer: the share of a response's characters that are one of `letters`."""

    letters: str = "aeiou"

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        return [sum(map(r.text.count, self.letters)) / max(1, len(r.text)) for r in responses]


def settled(book: Path, line: str) -> None:
    """Put a line at the end of the file, and wait until it is on the disk."""
    with book.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, kw_only=True)
class Clerk:
    """An oracle that writes down, on the disk, every question it is asked before it answers it."""

    book: Path
    gate: Path | None = None
    """answers wait until there is such a file"""

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for query in queries:
            settled(self.book, query.id)
            while self.gate and not self.gate.exists():
                sleep(0.01)
            p = int(content_hash(query.a.text, query.b.text), 16) / 16**16
            yield Answer(query_id=query.id, p=p, oracle="clerk")

    def asked(self) -> list[str]:
        """The ids of all questions so far, in order."""
        return self.book.read_text().split() if self.book.exists() else []


def small_run(
    model: str,
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    report: bool = False,
    **given: Any,
) -> Result:
    """The same run every time, apart from the settings and the parts that are given.

    Without its page, which takes longer than all the rest, unless it is asked for as `report`.
    """
    given = {
        "recipe": "online_dpo",
        "data": Given(prompts=PROMPTS, eval_prompts=HELD),
        "oracle": Clerk(book=folder.with_suffix(".asked")),
        "scorer": Share(letters="aeiou"),
        "gold": Share(letters="est "),
        **given,
    }
    recipe = given.pop("recipe")
    with nullcontext() if report else patch.object(summary, "write"):
        return run(recipe, folder, {**SETTINGS, "model.path": model, **(settings or {})}, **given)


def elsewhere(work: Callable[..., Any], *arguments: Any, **keywords: Any) -> int:
    """Do the work in a process of its own; its exit code, −9 when it was killed."""
    process = begun(work, *arguments, **keywords)
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code


def begun(work: Callable[..., Any], *arguments: Any, **keywords: Any) -> BaseProcess:
    """Begin the work in a process of its own."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["prefloop.runs.main", "peft", "small"])
    process = context.Process(target=work, args=arguments, kwargs=keywords)
    process.start()
    return process


Call = int | tuple[Any, ...]
"""which of the calls of a function: the n-th, from 1, or the one whose arguments begin so"""


def killed_at(
    target: str, which: Call, when: str, work: Callable[..., Any], *given: Any, **named: Any
) -> None:
    """Do the work, and kill this process before or after that call of `module:Class.name`."""
    on_call(target, which, when, lambda: os.kill(os.getpid(), signal.SIGKILL))
    work(*given, **named)


def signalled_at(
    target: str, which: Call, when: str, number: int, work: Callable[..., Any], *given: Any
) -> None:
    """Do the work, and send this process a signal before or after that call."""
    on_call(target, which, when, lambda: os.kill(os.getpid(), number))
    work(*given)


def on_call(target: str, which: Call, when: str, act: Callable[[], Any]) -> None:
    """From now on, `act` before or after that call of `module:Class.name`."""
    module, _, path = target.partition(":")
    *outer, name = path.split(".")
    owner: Any = import_module(module)
    for part in outer:
        owner = getattr(owner, part)
    usual, calls = getattr(owner, name), iter(range(1, 1_000_000))

    @wraps(usual)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        own = arguments[1:] if outer else arguments
        number = next(calls)
        is_due = own[: len(which)] == which if isinstance(which, tuple) else number == which
        if is_due and when == "before":
            act()
        value = usual(*arguments, **keywords)
        if is_due and when == "after":
            act()
        return value

    setattr(owner, name, wrapped)
