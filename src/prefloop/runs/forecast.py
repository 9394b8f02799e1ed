"""A dry run: what would be sampled, asked and trained, how long, how much memory and disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from prefloop.config import Config, Phase
from prefloop.engine.single import settle_threads
from prefloop.models.load import Loaded, load
from prefloop.models.transformer import TransformerPolicy
from prefloop.rng import stream
from prefloop.runs.data import Data, Given
from prefloop.runs.data import load as load_data
from prefloop.runs.footprint import Amounts, disk_gb, memory_gb, seen, steps, training
from prefloop.runs.open import phases_of
from prefloop.runs.require import require
from prefloop.runs.sample import sampling
from prefloop.runs.unread import unread
from prefloop.store.text import Encoder

PROBE = 8  # prompts sampled and learned from, to see how fast this machine is
MEMORY = "the models that a phase needs, gradients, moments, activations"


def forecast(
    config: Config, given: Given | None = None, parts: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """Lines that say what the run would do; loads the model, reads the data, writes nothing."""
    phases = phases_of(config)
    require(phases, given or Given(), parts or {})
    yield from (f"unread    {line}" for line in unread(config, phases))
    final = phases[-1].config
    threads = settle_threads(final.model.threads)
    loaded = load(final.model)
    encoder = Encoder(
        loaded.tokenizer,
        context=loaded.context,
        template=final.model.template,
        overflow=final.data.overflow,
    )
    data = load_data(final, encoder, given or Given())
    size = sum(p.numel() for p in loaded.model.parameters())
    yield f"model     {final.model.path}: {size:,} parameters on {loaded.device}"
    yield f"data      {len(data.prompts)} prompts, {len(data.items)} ready-made rows"
    yield f"          {len(data.eval_prompts)} prompts held out; {_counts(data)}"
    if data.items:
        first = data.items[0].responses[0]
        yield "first example:\n" + encoder.show(first.prompt, first.tokens)
    speed = _speed(loaded, data, final)
    for i in range(len(phases)):
        yield from _phase(phases[: i + 1], data, speed)
    yield f"memory    about {memory_gb(loaded, phases):.2f} GB: {MEMORY}"
    yield _disk(loaded, final)
    yield f"speed     probed on {PROBE} prompts with {threads} threads; oracle time is not included"


def _counts(data: Data) -> str:
    return ", ".join(f"{number} {what}" for what, number in data.counts.items())


def _phase(phases: Sequence[Phase], data: Data, speed: tuple[float, float]) -> Iterator[str]:
    """Of the last of these phases; what it learns from may have been asked in those before."""
    phase, amounts, learn = phases[-1], Amounts.of(phases[-1], data), training(phases[-1])
    seconds = amounts.drawn * speed[0] + seen(phases, data) * speed[1]
    seconds += 2 * phase.config.measure.prompts * speed[0] / phase.config.measure.every
    sources = dict(phase.config.sample.sources)
    yield f"phase     {phase.name}: {phase.rounds} rounds; each round"
    yield f"  sample  {amounts.prompts} prompts × {sources}: {amounts.drawn} responses to draw"
    if amounts.asked:
        oracle = phase.config.ask.oracle.name if phase.config.ask.oracle else "yours"
        whole = amounts.asked * phase.rounds
        yield f"  choose  {phase.config.explore.rule.name}"
        yield f"  ask     {amounts.asked} labels of {oracle}; {whole} in all"
    lowers = f"{steps(phases, data)} steps of {_lowers(phase)}"
    yield f"  learn   {lowers}, {learn.batch} rows each, lr {learn.lr:g}"
    whole_time = _duration(seconds * phase.rounds)
    yield f"  time    about {_duration(seconds)} a round, {whole_time} in all"


def _lowers(phase: Phase) -> str:
    """What the phase's steps lower, in its parts' names."""
    learn, reward = phase.config.learn, phase.config.reward
    if phase.learns == "reward":
        views = f" + {reward.views.name}" if reward.views else ""
        return f"{reward.loss.name}{views} (a reward model)"
    bonus = f" + {learn.bonus.name}" if learn.bonus else ""
    scorer = phase.config.explore.scorer
    return learn.loss.name + bonus + (f" by {scorer.name}" if scorer and not phase.asks else "")


def _speed(loaded: Loaded, data: Data, config: Config) -> tuple[float, float]:
    """(seconds to draw a response, seconds to learn from a row), by doing a little of each."""
    policy = TransformerPolicy(loaded, tokens=config.learn.tokens)
    rng = stream(config.seed, "forecast")
    known = data.prompts or data.eval_prompts or tuple(item.prompt for item in data.items)
    prompts = known[:PROBE]
    began = perf_counter()
    drawn = policy.sample(prompts, n=2, settings=sampling(config.sample), rng=rng)
    flat = [replace(r, id=str(i)) for i, r in enumerate(r for group in drawn for r in group)]
    draw = (perf_counter() - began) / max(1, len(flat))
    began = perf_counter()
    policy.logps(flat).sum().backward()  # type: ignore[no-untyped-call]
    loaded.model.zero_grad(set_to_none=True)
    return draw, (perf_counter() - began) / max(1, len(drawn))


def _disk(loaded: Loaded, config: Config) -> str:
    total, limit = disk_gb(loaded, config), config.checkpoint.disk_gb
    over = f" — above checkpoint.disk_gb={limit:g}" if limit and total > limit else ""
    return f"disk      about {total:.2f} GB: checkpoints, two policies{over}; and the ledger"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
