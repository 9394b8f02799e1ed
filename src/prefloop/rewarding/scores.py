"""A model that scores one response, trained on pairs, ranked lists or ratings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefloop import plugins
from prefloop.batches import ListScores, PairScores, PointScores, SplitScores
from prefloop.config import Config, ConfigError
from prefloop.learn.families import family
from prefloop.learn.reward import RewardLearner, check_heads
from prefloop.learn.step import Tally
from prefloop.models.load import location
from prefloop.models.reward import RewardModel
from prefloop.rewarding.rows import Row, mapped, responses_of
from prefloop.rng import key
from prefloop.store.text import Encoder
from prefloop.types import Preference, Ranking, Rating, Response

Told = Callable[[int, int], None]
WANTS = {
    PairScores: Preference,
    SplitScores: Preference,
    ListScores: Ranking,
    PointScores: Rating,
}


def train(rows: Sequence[Row], config: Config, folder: Path, told: Told) -> dict[str, Any]:
    """Train a fresh head and its backbone; an ordinary sequence-classification folder.

    Scores have mean 0 and standard deviation 1 on the responses learned from.
    """
    settings = config.reward
    loss = plugins.build("losses/reward", settings.loss.name, settings.loss.options)
    _check(rows, WANTS[family(loss)], settings.loss.name)
    check_heads(settings, loss)
    model = RewardModel.load(
        location(config.model.path),
        settings=config.model,
        fresh=settings.heads,
        seed=key(config.seed, "reward", 1),
        aggregate=settings.aggregate,
        tokens=settings.tokens,
    )
    fitting, responses = encoded(rows, model, config)
    learner = RewardLearner(model, loss, settings)
    plan = learner.plan(fitting, config.seed, 1)
    tally, losses = Tally(), []
    for number, step in enumerate(learner.steps(fitting, plan), 1):
        tally.add(step)
        losses.append(step.means()["loss"])
        told(number, len(plan.batches))
    model.normalise(responses)
    model.save(folder)
    return {
        "rows": len(fitting),
        "rows_too_long": len(rows) - len(fitting),
        "steps": len(plan.batches),
        "tokens_trained": tally.tokens,
        "loss": losses,
    }


def encoded(
    rows: Sequence[Row], model: RewardModel, config: Config
) -> tuple[list[Row], list[Response]]:
    """Rows in the model's own tokens, and their responses; what does not fit is left out.

    The responses to a prompt are encoded together, so that all see as much of it.
    """
    encoder = Encoder(
        model.loaded.tokenizer,
        context=model.loaded.context,
        template=config.model.template,
        overflow=config.data.overflow,
    )
    groups: dict[str, dict[str, Response]] = {}
    for response in (r for row in rows for r in responses_of(row)):
        groups.setdefault(response.prompt.id, {})[response.id] = response
    known = {r.id: r for group in groups.values() for r in _encoded(encoder, [*group.values()])}
    fitting = [row for row in rows if all(r.id in known for r in responses_of(row))]
    if not fitting:
        raise ConfigError(
            f"none of {len(rows)} rows fits {model.loaded.context} tokens; set data.overflow to "
            "keep_end to keep the end of long prompts"
        )
    return [mapped(row, known) for row in fitting], [*known.values()]


def _encoded(encoder: Encoder, responses: Sequence[Response]) -> list[Response]:
    """Responses to one prompt; one that was cut off by a length limit gets no end here either."""
    found = encoder.encode(responses[0].prompt, *(r.text for r in responses))
    if found is None:
        return []
    prompt, texts = found
    return [
        replace(r, prompt=prompt, tokens=tokens if r.finished else tokens[:-1] or tokens)
        for r, tokens in zip(responses, texts, strict=True)
    ]


def _check(rows: Sequence[Row], wanted: Any, loss: str) -> None:
    for row in rows:
        if not isinstance(row, wanted):
            raise ConfigError(
                f"the loss {loss} learns from a {wanted.__name__.lower()}, and the data hold a "
                f"{type(row).__name__.lower()}; set reward.loss to one for it"
            )
