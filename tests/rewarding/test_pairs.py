"""A pair model's examples and steps."""

from typing import Any

import pytest
import torch
from torch import nn

import small
import tiny
from prefloop.config import Config
from prefloop.learn.optimizer import adamw
from prefloop.models.load import Loaded
from prefloop.oracles._pair_text import PairText
from prefloop.rewarding.pairs import Example, _step, example, loss
from prefloop.types import Preference, Prompt, Query, Response

TEXT = PairText(tokenizer=tiny.tokenizer(), template="{context}[{a}|{b}]")
EXAMPLES = [
    Example(tokens=list(range(10, 10 + size)), first=first)
    for size, first in ((5, 1.0), (9, 0.0), (3, 0.8), (7, 0.5), (4, 0.1))
]


def test_either_response_is_named_first_about_as_often_and_the_label_goes_with_it() -> None:
    """The first of the two answers is right as often as the response that is named first."""
    prompt, swaps = Prompt(text="q"), []
    a, b = (Response(prompt=prompt, text=text) for text in "xy")
    for i in range(200):
        found = example(TEXT, Preference(query=Query(prompt=prompt, a=a, b=b, id=str(i)), p=0.9), 1)
        is_swapped = found.tokens == TEXT.encode("q", "y", "x")
        assert is_swapped or found.tokens == TEXT.encode("q", "x", "y")
        assert found.first == pytest.approx(0.1 if is_swapped else 0.9)
        swaps.append(is_swapped)
    assert 70 < sum(swaps) < 130


@pytest.mark.parametrize("budget", [1, 12, 10_000])
def test_two_steps_are_those_of_a_plain_loop_whatever_the_budget(budget: int) -> None:
    settings = {"reward.tokens": budget, "reward.lr": 1e-2, "reward.precision": "float32"}
    config, targets = Config().override(settings), [40, 41]
    model, twin = small.network(), small.network()
    loaded = Loaded(model, tiny.tokenizer(), torch.device("cpu"), 64)
    mine, plain = (adamw({"": one}, config.reward) for one in (model, twin))
    for group in plain.param_groups:
        group["lr"] = 1e-2
    for _ in range(2):
        said = _step(loaded, EXAMPLES, targets, mine, 1e-2, config)
        plain.zero_grad()
        values: Any = torch.stack([loss(twin, [one], targets)[0] for one in EXAMPLES])
        values.mean().backward()
        nn.utils.clip_grad_norm_(twin.parameters(), config.reward.max_grad_norm or float("inf"))
        plain.step()
        assert said == pytest.approx(values.mean().item(), rel=1e-4)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
