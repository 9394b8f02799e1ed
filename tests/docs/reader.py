"""A reader who tries everything out: the files that pages speak of, and their commands, small."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from handbook import ROOT, Block
from transformers import LlamaForCausalLM
from typer.testing import CliRunner

import inside
import tiny
from prefloop import runs
from prefloop.cli import app
from prefloop.config import assignments
from prefloop.theory import main as lab

SMALL: dict[str, Any] = {
    "sample.prompts": 6,
    "sample.max_new_tokens": 6,
    "learn.batch": 6,
    "measure.prompts": 4,
    "measure.kl_samples": 4,
    "measure.examples": 2,
    "model.threads": 1,
}
"""on top of what a page says, so that its commands take seconds"""
ROUNDS = 2
SINGLE = ("dpo", "sft", "vpo_offline", "sail_dp")
"""recipes of one round"""

ELSEWHERE = {
    "make demo": "minutes; `.ci/run` runs its short form",
    "make test": "is what runs this",
}
"""commands in the pages that are not run from here, and why"""

SMALL_WORLDS = lab.regret.Setting(seeds=2, rounds=2, beta=0.5)

QUESTIONS = [f"Question {i}: what is {i} + {i}?" for i in range(40)]
ORACLE = """
def prefer(queries):
    return [float(len(q.a.text) < len(q.b.text)) for q in queries]

def score(responses):
    return [float(-len(r.text)) for r in responses]
"""


def furnish(folder: Path) -> None:
    """The files that the pages take for granted, each as small as it can be."""
    torch.manual_seed(0)
    shape = tiny.config(max_position_embeddings=512)
    LlamaForCausalLM(shape).save_pretrained(folder / "my-model")
    tiny.tokenizer().save_pretrained(folder / "my-model")
    tiny.reward_model(folder / "my-reward-model", max_position_embeddings=512)
    _write(folder / "prompts.jsonl", [{"prompt": q} for q in QUESTIONS])
    pairs = [{"prompt": q, "chosen": " Twice that.", "rejected": " Eh?"} for q in QUESTIONS]
    _write(folder / "pairs.jsonl", pairs)
    _write(folder / "demonstrations.jsonl", [{"prompt": q, "completion": " 2"} for q in QUESTIONS])
    _write(folder / "ratings.jsonl", [*_ratings()])
    (folder / "my_oracle.py").write_text(ORACLE)
    (folder / "data").symlink_to(ROOT / "data")


def _ratings() -> Iterator[dict[str, Any]]:
    """Is a text good, is it funny, which not everyone was asked, and is it long?"""
    for number, question in enumerate(QUESTIONS):
        for good, funny in ((0, 1), (1, 0), (1, 1)):
            words = " A wonderful" if good else " A dreadful", " comedy" if funny else " thriller"
            text = "".join(words) + " film." * (1 + number % 3)
            values = [good, funny if number % 2 else None, number % 3]
            yield {"prompt": question, "completion": text, "values": values}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def follow(block: Block, names: dict[str, Any]) -> None:
    """Do what a block says, in the working directory. Python blocks of a page share `names`."""
    if block.title:
        Path(block.title).write_text(block.text)
        sys.modules.pop(Path(block.title).stem, None)
    if block.language == "python":
        with patch.object(runs, "run", _small(runs.run)):
            exec(compile(block.text, block.place, "exec"), names)
    if block.language in ("sh", "bash"):
        for command in block.commands:
            _command(command, block.place)


def _small(run: Any) -> Any:
    def small(
        recipe: Any, out: Any, settings: Mapping[str, Any] | None = None, **given: Any
    ) -> Any:
        said = dict(settings or {})
        return run(recipe, out, {**said, **SMALL, **_rounds(str(recipe), said)}, **given)

    return small


def _rounds(recipe: str, said: Mapping[str, Any]) -> dict[str, int]:
    return {} if recipe in SINGLE else {"rounds": min(4, said.get("rounds", ROUNDS))}


@contextmanager
def _small_lab() -> Iterator[None]:
    """`prefloop theory` with two claims and two worlds: tests/theory runs them all."""
    small = {
        "CLAIMS": lab.CLAIMS[:2],
        "BETAS": (0.5,),
        "OFFLINE_BETAS": (0.5,),
        "offline.DESCENDED": {},
        "SIZES": (5, 10, 20, 40),
        "regret.Setting": lambda **_: SMALL_WORLDS,
    }
    with ExitStack() as stack:
        for name, value in small.items():
            stack.enter_context(patch(f"prefloop.theory.main.{name}", value))
        yield


def _command(command: str, place: str) -> None:
    if command in ELSEWHERE:
        return
    program, *words = shlex.split(command, comments=True)
    if program != "prefloop":
        subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60)
        return
    if words[0] == "run":
        said = assignments([word for word in words[2:] if "=" in word and word[0] != "-"])
        small = {**SMALL, **_rounds(words[1], said)}
        if said.get("data.preferences", "").startswith("data/"):
            small["data.limit"] = 16
        words += [f"{key}={value}" for key, value in small.items()]
    if words[0] == "overoptimize":
        words += ["--samples", "8", "--prompts", "3", "--seeds", "2"]
        words += ["--proxies", "classifier@8,proxy"]
    if words[:2] == ["reward", "evaluate"] and any(word.startswith("data/") for word in words):
        words += ["--limit", "12"]
    with _small_lab(), inside.started_here():  # a comparison's runs are made up here
        found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, f"{place}: {command}\n{found.output}\n{found.exception!r}"
