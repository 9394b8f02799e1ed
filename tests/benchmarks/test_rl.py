"""The benchmark of policy gradients in small: its sides compute the same, and all of it runs."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from prefloop.rng import stream
from prefloop.types import Prompt, Response

ROOT = Path(__file__).parents[2]
pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's advice about toy settings


@pytest.fixture
def rl(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("rl")


@pytest.fixture
def samples(rl: Any, tmp_path: Path) -> Any:
    """Two prompts, four responses each, of ragged lengths."""
    tiny.language_model(tmp_path / "tiny", max_position_embeddings=1024)
    draw = stream(0, "tokens")

    def tokens() -> tuple[int, ...]:
        return tuple(draw.integers(5, 101, size=draw.integers(3, 9)).tolist())

    prompts = [Prompt(text=name, tokens=tokens()) for name in "ab"]
    responses = tuple(
        Response(prompt=prompt, text="", tokens=tokens(), id=f"{prompt.text}{i}")
        for prompt in prompts
        for i in range(4)
    )
    return rl.Samples(name="tiny", folder=tmp_path / "tiny", responses=responses, each=4)


@pytest.mark.parametrize("part", ["ppo", "rloo", "scores"])
def test_every_race_is_run_and_has_a_ratio(
    part: str, rl: Any, samples: Any, tmp_path: Path
) -> None:
    """RLOO's gradient beside TRL's and the scores beside Hugging Face's are compared on the way."""
    lines = rl.RACES[part](samples, tmp_path, 1)
    assert lines and all(_ratio(line) > 0 for line in lines)


def test_rloo_with_other_rewards_is_not_trls(
    rl: Any, samples: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        rl.rounds, "LEAVE_ONE_OUT", rl.rounds.LEAVE_ONE_OUT.model_copy(update={"beta": 0.5})
    )
    with pytest.raises(ValueError, match="must agree"):
        rl.rloo_rows(samples, tmp_path, 1)


def test_responses_apart_share_no_prompt_and_cost_as_many_tokens(samples: Any) -> None:
    apart = samples.apart()
    assert len({r.prompt.tokens for r in apart.responses}) == len(samples.responses)
    assert apart.tokens == samples.tokens


def test_adapters_leave_one_backbone_and_learn_as_models_in_full_do(rl: Any, samples: Any) -> None:
    """The same weights at the start, so the same rewards, ratios and critic's values."""
    norms = {}
    for kind in ("separate", "shared"):
        world = rl.memory.ppo_world(kind, samples)
        policy, critic = world.learner.policy, world.learner.critic
        assert (critic.loaded.model is policy.model) == (kind == "shared")
        norms[kind] = (rl.rounds.gradient_round(world, samples)(), _scores(world, samples))
    assert all(norm > 0 for norm, _ in norms.values())
    torch.testing.assert_close(norms["shared"][1], norms["separate"][1])


def _scores(world: Any, samples: Any) -> torch.Tensor:
    found: Sequence[float] = world.scores(samples.responses)
    return torch.tensor(found)


def _ratio(line: Sequence[str]) -> float:
    return float(line[-1].split("x")[0])
