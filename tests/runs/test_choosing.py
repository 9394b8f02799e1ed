"""Two of a prompt's candidates become a question only where they differ."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import small
import tiny
from prefloop.config import ConfigError
from prefloop.models.load import Loaded, load_weights
from prefloop.models.transformer import TransformerPolicy
from prefloop.store.ledger import Ledger
from prefloop.types import Missing, Query, Response

ONE = {"rounds": 1, "learn.epochs": 1}
SURE: dict[str, Any] = {"sample.top_p": 1e-6}
"""sampling that always takes the likeliest token: every candidate says the same"""


def first_round(folder: Path) -> tuple[list[Response], list[Query]]:
    """What a run has drawn and asked."""
    ledger = Ledger.open(folder / "ledger.sqlite")
    try:
        return ledger.responses(1, "train"), ledger.queries(1)
    finally:
        ledger.close()


def test_candidates_that_all_say_the_same_are_an_error(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"all candidates of round 1 are identical.*temperature"):
        small.small_run(model, tmp_path / "run", {**ONE, **SURE})


def test_a_reference_that_repeats_the_policy_is_no_question_and_no_error(
    model: str, tmp_path: Path
) -> None:
    settings = {
        "explore.rule": "policy_vs_reference",
        "sample.sources": {"policy": 2, "reference": 1},
        "sample.max_new_tokens": 1,
        "sample.top_p": 0.3,
    }
    small.small_run(model, tmp_path / "run", {**ONE, **settings})
    drawn, asked = first_round(tmp_path / "run")
    by_prompt: dict[str, list[Any]] = {}
    for response in drawn:
        by_prompt.setdefault(response.prompt.id, []).append(response)
    repeats = [r for r in by_prompt.values() if r[0].text == r[2].text]
    assert repeats, "the world is too varied to show the trap"
    assert len(asked) == len(by_prompt) - len(repeats)
    assert all((q.a.source, q.b.source) == ("policy", "reference") for q in asked)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample.sources": {"policy": 1}}, r"at least 2 to compare"),
        ({"sample.sources": {"policy": 0, "reference": 2}}, r"sources.policy: .*greater than"),
        ({"explore.rule": "policy_vs_reference"}, r"compares the two, got sample.sources"),
    ],
)
def test_sources_that_cannot_be_compared_are_refused_before_anything_is_drawn(
    model: str, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        small.small_run(model, tmp_path / "run", {**ONE, **settings})
    assert not (tmp_path / "run").exists()


def test_prompts_of_most_entropy_get_the_labels_and_keep_their_order(
    model: str, tmp_path: Path
) -> None:
    settings = {"explore.prompts": "entropy", "ask.labels": 3, "learn.batch": 3}
    small.small_run(model, tmp_path / "run", {**ONE, **settings})
    drawn, asked = first_round(tmp_path / "run")
    surprise: dict[int, list[float]] = {}
    for r in drawn:
        assert r.logp is not None
        surprise.setdefault(int(r.id.split(".")[1]), []).append(-r.logp)
    ranked = sorted(surprise, key=lambda place: -sum(surprise[place]) / len(surprise[place]))
    assert [int(q.a.id.split(".")[1]) for q in asked] == sorted(ranked[:3])


def test_clusters_are_of_all_candidates_repeats_included(model: str, tmp_path: Path) -> None:
    """Of texts that are all different none would be said by a third of six."""
    settings = {
        "explore.rule": {"name": "largest_cluster", "confidence": 1 / 3},
        "explore.clusters": "exact",
        "sample.sources": {"policy": 6},
        "sample.max_new_tokens": 1,
        "sample.top_p": 0.5,
    }
    small.small_run(model, tmp_path / "run", {**ONE, **settings})
    drawn, asked = first_round(tmp_path / "run")
    said: dict[str, Counter[str]] = {}
    for response in drawn:
        said.setdefault(response.prompt.text, Counter())[response.text] += 1
    agreed = {name for name, texts in said.items() if 2 <= max(texts.values()) < 6}
    assert {q.prompt.text for q in asked} == agreed
    for query in asked:
        texts = said[query.prompt.text]
        assert texts[query.a.text] == max(texts.values())
    assert any(len(said[name]) > 3 for name in agreed), "the world shows no trap"


class Picky:
    """Cannot rate the first candidate about the film."""

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        lost = [r.id.endswith(".0") and "film" in r.prompt.text for r in responses]
        rated = small.Share().score(responses)
        return [Missing("lost") if no else x for no, x in zip(lost, rated, strict=True)]


def test_a_prompt_with_a_candidate_that_cannot_be_rated_is_not_asked_about(
    model: str, tmp_path: Path
) -> None:
    small.small_run(model, tmp_path / "run", ONE, scorer=Picky())
    _, asked = first_round(tmp_path / "run")
    assert {*small.PROMPTS} - {q.prompt.text for q in asked} == {"the film is"}


def test_apl_asks_about_the_widest_gap_of_implicit_rewards(model: str, tmp_path: Path) -> None:
    """log π/π₀ of the policy that the round began with; in round 2 it is no longer zero."""
    settings = {"explore.rule": "apl", "rounds": 2, "learn.epochs": 1}
    small.small_run(model, tmp_path / "run", settings)
    ledger = Ledger.open(tmp_path / "run" / "ledger.sqlite")
    drawn, asked = ledger.responses(2, "train"), ledger.queries(2)
    names = [r.id for r in drawn]
    own, ref = ledger.logps("round 1", names), ledger.logps("pi0", names)
    ledger.close()
    gain = {name: own[name] - ref[name] for name in names}
    assert max(map(abs, gain.values())) > 1e-3
    for query in asked:
        group = [gain[n] for n in names if n.split(".")[1] == query.a.id.split(".")[1]]
        assert abs(gain[query.a.id] - gain[query.b.id]) == pytest.approx(max(group) - min(group))


def test_hot_candidates_are_drawn_at_their_own_temperature(model: str, tmp_path: Path) -> None:
    """At a temperature near zero the law drawn from is all but certain; the policy's is not."""
    settings = {
        "explore.rule": "temperature_pair",
        "sample.sources": {"policy": 1, "hot": 1},
        "sample.hot": 1e-3,
    }
    small.small_run(model, tmp_path / "run", {**ONE, **settings})
    ledger = Ledger.open(tmp_path / "run" / "ledger.sqlite")
    law = {r.source: [] for r in ledger.responses(1, "train")}
    for r in ledger.responses(1, "train"):
        law[r.source].append(r.logp_sampling)
    ledger.close()
    assert min(law["hot"]) > -0.5 and max(law["policy"]) < -1.0


def test_the_previous_policy_is_that_of_the_round_before(model: str, tmp_path: Path) -> None:
    """In round 3 the policy is π₂ and the previous one π₁."""
    settings = {
        "explore.rule": "checkpoint_pair",
        "sample.sources": {"policy": 1, "previous": 1},
        "checkpoint.keep": 5,
        "rounds": 3,
        "learn.epochs": 1,
    }
    folder = tmp_path / "run"
    small.small_run(model, folder, settings)
    ledger = Ledger.open(folder / "ledger.sqlite")
    drawn = [r for r in ledger.responses(3, "train") if r.source == "previous"]
    ledger.close()
    network = small.network()
    load_weights(network, load_file(folder / "checkpoints/round-0001/weights.safetensors"))
    policy = TransformerPolicy(
        Loaded(network, tiny.tokenizer(), torch.device("cpu"), 64), precision="float32"
    )
    with torch.no_grad():
        expected = policy.logps(drawn).tolist()
    assert [r.logp for r in drawn] == pytest.approx(expected, abs=1e-3)
