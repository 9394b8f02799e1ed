"""Recipes that learn a reward, climb one, or imitate the best by one."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

import small
import tiny
from prefloop.config import Config, ConfigError, Model, Phase, parse
from prefloop.learn.learner import Plan
from prefloop.learn.reward import RewardLearner
from prefloop.models.load import Loaded, weights
from prefloop.models.reward import Aggregate, RewardModel
from prefloop.models.transformer import TransformerPolicy
from prefloop.runs import Given, Result, run, summary
from prefloop.runs.open import phases_of
from prefloop.runs.require_reward import require_reward
from prefloop.runs.reward import measured
from prefloop.store.ledger import Ledger
from prefloop.types import Missing, Preference, Prompt, Query, Response

ME = "test_reward_recipes"
COMPLETIONS = [{"prompt": p, "completion": " seen"} for p in small.PROMPTS]
FILED = {"data.completions": "texts.jsonl"}
SETTINGS: dict[str, Any] = {
    key: small.SETTINGS[key]
    for key in small.SETTINGS
    if key.split(".")[0] in ("model", "measure", "checkpoint")
} | {
    "rounds": 2,
    "sample.max_new_tokens": 6,
    "sample.precision": "float32",
    "sample.prompts": 8,
    "ask.labels": 8,
    "learn.precision": "float32",
    "learn.lr": 3e-3,
    "learn.batch": 8,
    "learn.epochs": 2,
    "reward.precision": "float32",
    "reward.lr": 1e-2,
    "reward.epochs": 3,
    "reward.batch": 4,
    "reward.holdout": 0.0,
}


def share_of_e(responses: Sequence[Response]) -> list[float]:
    """A scorer for which every "e" counts."""
    return [r.text.count("e") / max(1, len(r.text)) for r in responses]


def likes_e(queries: Sequence[Query]) -> list[float]:
    """An oracle for which every "e" counts."""
    gaps = [q.a.text.count("e") - q.b.text.count("e") for q in queries]
    return [1.0 if gap > 0 else 0.0 if gap < 0 else 0.5 for gap in gaps]


def likes_short(queries: Sequence[Query]) -> list[float]:
    """An oracle that never ties."""
    return [float(q.a.text < q.b.text) for q in queries]


def made(
    recipe: str, model: str, out: Path, settings: Mapping[str, Any] | None = None, **given: Any
) -> Result:
    """A run of the recipe."""
    data = given.pop("data", Given(prompts=small.PROMPTS, eval_prompts=small.HELD))
    chosen = {**SETTINGS, "model.path": model, "measure.gold": f"{ME}:share_of_e"}
    return run(recipe, out, {**chosen, **(settings or {})}, data=data, **given)


def phases(recipe: str, **settings: Any) -> list[str]:
    return [p.name for p in phases_of(parse({"recipe": recipe}).override(settings))]


@pytest.mark.parametrize(
    ("recipe", "own"),
    [
        ("ppo", {"credit.beta": 0.0}),
        ("rloo", {"credit.beta": 0.0, "learn.lr": 1e-2}),
        (
            "rloo",
            {
                "learn.loss": "reinforce",
                "credit.estimator": "mean",
                "learn.epochs": 1,
                "learn.batch": 32,
                "learn.lr": 1e-2,
            },
        ),
        ("raft", {"learn.lr": 1e-2}),
        ("raft", {"learn.lr": 1e-2, "learn.rows": "top", "learn.top": 0.2}),
    ],
)
def test_a_given_reward_is_climbed(
    recipe: str, own: dict[str, Any], model: str, tmp_path: Path
) -> None:
    """Nobody is asked, and the mean reward of the policy's samples rises by a half at least."""
    settings = {
        "explore.scorer": f"{ME}:share_of_e",
        "rounds": 8,
        "ask.labels": None,
        "sample.chunk": 128,
        **own,
    }
    prompts = [f"{p} {n}" for p in small.PROMPTS for n in range(4)]
    data = Given(prompts=prompts, eval_prompts=[f"{p} {n}" for p in small.HELD for n in range(8)])
    settings |= {"sample.prompts": 32, "measure.prompts": 32, "measure.every": 8}
    lines = made(recipe, model, tmp_path / "run", settings, data=data).metrics
    assert lines[-1]["labels_total"] == 0
    assert lines[-1]["gold_reward_mean"] > 1.5 * lines[0]["gold_reward_mean"] + 0.01


def test_ppo_learns_its_reward_first_and_keeps_it(model: str, tmp_path: Path) -> None:
    cool = {"sample.temperature": 0.7}  # of the law that is climbed, so KL begins at 0 all the same
    found = made("ppo", model, tmp_path / "run", cool, oracle=likes_short)
    first, reward, *policy = found.metrics
    assert [line["phase"] for line in found.metrics] == ["reward", "reward", "policy", "policy"]
    assert first["proxy_reward_mean"] is None
    assert reward["rows"] == reward["labels_total"] == 8
    assert reward["kl"] == pytest.approx(0, abs=1e-5)
    for line in policy:
        assert line["labels_total"] == 8
        assert line["proxy_reward_mean"] is not None
        assert line["ratio_off_first"] < 1e-5
        assert line["value_error"] > 0
    assert policy[0]["credit_kl"] == pytest.approx(0, abs=1e-4)
    kept = AutoModelForSequenceClassification.from_pretrained(
        found.folder / "rewards" / "round-0001"
    )
    assert kept.config.num_labels == 1


def test_a_length_head_is_learned_beside_the_quality_that_is_climbed(
    model: str, tmp_path: Path
) -> None:
    settings = {"reward.loss": "odin", "reward.heads": 2, "reward.aggregate": "first", "rounds": 1}
    settings |= {"reward.tokens": 64}  # several micro-batches a step
    found = made("ppo", model, tmp_path / "run", settings, oracle=likes_short)
    folder = found.folder / "rewards" / "round-0001"
    kept = RewardModel.load(str(folder), settings=Model())
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    drawn = ledger.responses(2, "train")
    known = ledger.scores("reward 1", [r.id for r in drawn])
    ledger.close()
    quality = kept.scores(drawn)[:, 0]
    assert [known[r.id] for r in drawn] == pytest.approx((quality - kept.shift).tolist(), abs=1e-4)


def test_an_adaptive_kl_weight_moves_from_round_to_round(model: str, tmp_path: Path) -> None:
    """Ziegler et al.'s rule: the next β is this one times 1 + e · n/horizon, |e| at most .2."""
    settings = {"rounds": 3, "credit.target": 0.5, "credit.horizon": 16.0, "learn.lr": 1e-2}
    lines = made("ppo", model, tmp_path / "run", settings, oracle=likes_short).metrics[-3:]
    assert lines[0]["credit_beta"] == 0.05
    for before, after in pairwise(lines):
        error = max(-0.2, min(0.2, before["credit_kl"] / 0.5 - 1))
        expected = before["credit_beta"] * (1 + error * 8 / 16)
        assert after["credit_beta"] == pytest.approx(expected)
        assert after["credit_beta"] != before["credit_beta"]


@pytest.mark.parametrize("imitates", [False, True])
def test_a_learned_reward_has_mean_0_and_deviation_1_on_samples_of_pi0(
    imitates: bool, model: str, tmp_path: Path
) -> None:
    """Measured where it was normalised: the held-out samples of round 0, or of imitation's end."""
    filed = {"data.completions": "given", "learn.loss": "ppo"} if imitates else {}
    data = Given(
        prompts=small.PROMPTS,
        eval_prompts=small.HELD,
        completions=COMPLETIONS if imitates else None,
    )
    settings = {"rounds": 1, **filed}
    found = made("ppo", model, tmp_path / "run", settings, data=data, oracle=likes_short)
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    drawn = ledger.responses(int(imitates), "eval")
    ledger.close()
    kept = RewardModel.load(str(next((found.folder / "rewards").iterdir())), settings=Model())
    scores = [s for s in kept.score(drawn) if isinstance(s, float)]
    assert len(scores) == len(drawn) == len(small.HELD)
    assert (fmean(scores), pstdev(scores)) == pytest.approx((0, 1), abs=1e-3)


@pytest.mark.parametrize("begins", ["fresh", "previous"])
def test_a_reward_model_begins_on_pi0s_trunk_or_where_the_one_before_ended(
    begins: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy has climbed away by then; a fresh head is another one every time.

    What keeps its language is π₀'s vocabulary, too.
    """
    usual, began = RewardLearner.plan, list[dict[str, torch.Tensor]]()

    def plan(learner: RewardLearner, rows: Sequence[Any], seed: int, round: int) -> Plan:
        began.append(weights(learner.model.model))
        assert torch.equal(learner.terms["language"].vocabulary.weight, head)  # type: ignore[attr-defined]
        return usual(learner, rows, seed, round)

    monkeypatch.setattr(RewardLearner, "plan", plan)
    head = small.network().lm_head.weight
    settings = {"rounds": 1, "reward.init_from": begins, "reward.language": 0.1}
    found = made("rlp_uml", model, tmp_path / "run", settings, oracle=likes_short)
    trunk, heads = small.network().model.state_dict(), [one.pop("score.weight") for one in began]
    ended = load_file(found.folder / "rewards" / "round-0001" / "model.safetensors")
    starts = [{f"model.{name}": value for name, value in trunk.items()}, ended]
    for one, start in zip(began, (starts[0], starts[begins == "previous"]), strict=True):
        assert all(torch.equal(value, start[name]) for name, value in one.items())
    turn = torch.nn.functional.cosine_similarity(heads[1], ended.pop("score.weight")).item()
    assert (turn > 0.999) == (begins == "previous")
    assert any(not torch.equal(ended[name], starts[0][name]) for name in ended)
    assert (heads[0] - heads[1]).abs().max() > 1e-3


def test_rlp_spg_learns_again_without_a_label_and_climbs_from_pi0(
    model: str, tmp_path: Path
) -> None:
    settings = {
        "explore.rule": {"name": "largest_cluster", "confidence": 0.0},
        "explore.clusters": "exact",
        "measure.prompts": 4,
    }
    lines = made("rlp_spg", model, tmp_path / "run", settings, oracle=likes_short).metrics
    named = {line["phase"]: line for line in lines}
    assert [*named] == ["reward", "policy 1", "reward 2", "policy 2"]
    assert named["reward 2"]["labels_total"] == named["policy 2"]["labels_total"] == 8
    assert named["reward 2"]["rows"] > named["reward"]["rows"]
    again = next(line for line in lines if line["phase"] == "policy 2")
    assert again["credit_kl"] == pytest.approx(0, abs=1e-4)
    assert named["policy 1"]["kl"] != pytest.approx(0, abs=1e-4)


def test_rlp_uml_learns_from_views_beside_the_same_answers(model: str, tmp_path: Path) -> None:
    lines = made("rlp_uml", model, tmp_path / "run", oracle=likes_short).metrics
    named = {line["phase"]: line for line in lines}
    assert named["reward 2"]["rows"] == named["reward"]["rows"]
    assert "views" in named["reward 2"]
    assert "views" not in named["reward"]


def test_rso_learns_from_pairs_of_pi0_that_the_reward_labels(model: str, tmp_path: Path) -> None:
    settings = {"sample.sources": {"reference": 4}, "learn.loss": {"name": "dpo", "beta": 0.7}}
    found = made("rso", model, tmp_path / "run", settings, oracle=likes_short)
    assert [line["phase"] for line in found.metrics] == ["reward", "reward", "policy", "policy"]
    assert [line["labels_total"] for line in found.metrics[1:]] == [8, 8, 8]
    assert found.metrics[-1]["kl"] > 0
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    for round in (2, 3):
        rows = ledger.preferences(round)
        scores = ledger.scores("reward 1", [r.id for p in rows for r in (p.query.a, p.query.b)])
        assert len(rows) >= 4
        for row in rows:
            assert row.query.a.source == row.query.b.source == "reference"
            assert scores[row.query.a.id] >= scores[row.query.b.id]
            assert row.p == 1
    ledger.close()


def rso_twice(config: Config) -> list[Phase]:
    """Answers once more, after the policy was told by the reward."""
    first, climb = phases_of(config)
    return [first, climb, replace(first, name="reward 2"), replace(climb, name="policy 2")]


def test_what_the_reward_told_the_policy_is_not_told_to_the_reward(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefloop.runs.open.phases_of", rso_twice)
    settings = {"sample.sources": {"reference": 4}, "rounds": 1}
    lines = made("rso", model, tmp_path / "run", settings, oracle=likes_short).metrics
    named = {line["phase"]: line for line in lines}
    assert named["policy"]["rows"] > 0
    assert (named["reward"]["rows"], named["reward 2"]["rows"]) == (8, 16)


def test_iterated_rlhf_asks_again_about_the_policy_that_climbed(model: str, tmp_path: Path) -> None:
    found = made("iterated_rlhf", model, tmp_path / "run", {"rounds": 1}, oracle=likes_short)
    named = {line["phase"]: line for line in found.metrics}
    assert [*named] == ["reward", "policy 1", "reward 2", "policy 2"]
    assert [line["labels_total"] for line in named.values()] == [8, 8, 16, 16]
    assert named["reward 2"]["rows"] == 16
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    asked = [r for p in ledger.preferences(3) for r in (p.query.a, p.query.b)]
    ledger.close()
    assert {r.source for r in asked} == {"policy"}
    assert {r.policy_version for r in asked} == {2}


def test_candidates_are_of_pi0_for_rso_and_pairs_of_the_policy_for_instalments() -> None:
    sources = lambda recipe: [
        dict(p.config.sample.sources) for p in phases_of(parse({"recipe": recipe}))
    ]
    assert sources("rso") == [{"policy": 2}, {"reference": 8}]
    assert sources("iterated_rlhf") == 2 * [{"policy": 2}, {"policy": 1}]


def test_instalments_cost_together_what_one_costs_elsewhere() -> None:
    whole, halves = (
        [p.config.sample.prompts for p in phases_of(parse({"recipe": name})) if p.asks]
        for name in ("ppo", "iterated_rlhf")
    )
    assert sum(halves) == sum(whole)
    (thrice,) = {
        p.config.sample.prompts
        for p in phases_of(
            parse({"recipe": "iterated_rlhf", "reward": {"retrainings": 2}, "ask": {"labels": 100}})
        )
        if p.asks
    }
    assert thrice == 100


def taught(monkeypatch: pytest.MonkeyPatch) -> list[list[Preference]]:
    """What each reward round from now on learns from, as its learner gets it."""
    usual, seen = RewardLearner.plan, list[list[Preference]]()

    def plan(learner: RewardLearner, rows: Sequence[Any], seed: int, round: int) -> Plan:
        seen.append([*rows])
        return usual(learner, rows, seed, round)

    monkeypatch.setattr(RewardLearner, "plan", plan)
    return seen


def answers(found: Result, *rounds: int) -> list[Preference]:
    """What was answered in those rounds."""
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    rows = [row for round in rounds for row in ledger.preferences(round)]
    ledger.close()
    return rows


def test_answers_about_held_out_prompts_measure_the_reward_and_teach_it_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt stays on its side when it is asked about again, in another round."""
    learned, settings = taught(monkeypatch), {"rounds": 1, "reward.holdout": 0.5}
    found = made("iterated_rlhf", model, tmp_path / "run", settings, oracle=likes_short)
    prompts: list[set[str]] = []
    for rows, round, rounds in zip(learned, (1, 3), ((1,), (1, 3)), strict=True):
        names, line = {row.query.id for row in rows}, found.metrics[round]
        held = [row for row in answers(found, *rounds) if row.query.id not in names]
        prompts += [{row.query.prompt.text for row in side} for side in (rows, held)]
        assert not prompts[-1] & prompts[-2]
        assert line["rows"] + line["reward_held_out"] == 8 * len(rounds)
        folder = found.folder / "rewards" / f"round-{round:04d}"
        rate = RewardModel.load(str(folder), settings=Model()).score
        a, b = rate([row.query.a for row in held]), rate([row.query.b for row in held])
        right = [(x > y) == (row.p > 0.5) for x, y, row in zip(a, b, held, strict=True)]
        assert line["reward_accuracy"] == pytest.approx(fmean(right))
    assert prompts[:2] == prompts[2:] and all(prompts)


def test_what_a_run_tells_itself_is_learned_from_and_measures_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it teach about the prompts that measure."""
    learned = taught(monkeypatch)
    settings = {
        "reward.holdout": 0.5,
        "rounds": 1,
        "explore.rule": {"name": "largest_cluster", "confidence": 0.0},
        "explore.clusters": "exact",
    }
    found = made("rlp_spg", model, tmp_path / "run", settings, oracle=likes_short)
    asked, asserted = answers(found, 1), answers(found, 3)
    (first, again), names = learned, {row.query.id for row in learned[0]}
    held = {row.query.prompt.id for row in asked if row.query.id not in names}
    ours = [row for row in asserted if row.query.prompt.id not in held]
    assert len(ours) < len(asserted)
    assert [row.query.id for row in again] == [row.query.id for row in (*first, *ours)]
    assert found.metrics[3]["reward_held_out"] == found.metrics[1]["reward_held_out"] == len(held)


def test_a_new_reward_model_may_learn_from_the_latest_answers_alone(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, settings = taught(monkeypatch), {"rounds": 1, "reward.data": "latest"}
    found = made("iterated_rlhf", model, tmp_path / "run", settings, oracle=likes_short)
    assert learned == [answers(found, 1), answers(found, 3)]


@pytest.mark.parametrize(
    ("aggregate", "share"), [("mean", 4.5 / 5), ("first", 4 / 5), ("min", 3.5 / 5)]
)
def test_a_rewards_accuracy_is_that_of_the_score_that_is_climbed(
    aggregate: Aggregate, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over held-out answers that decide; a margin of 0 is a guess. The texts are the heads' say."""
    told = {
        ("3 1", "1 1"): 1.0,  # a is better by mean and first, as good by min
        ("2 2", "3 0"): 0.8,  # by mean and min
        ("3 1", "0 4"): 0.9,  # by first and min, as good by mean
        ("5 0", "1 1"): 0.7,  # by mean and first
        ("0 5", "4 6"): 0.2,  # b by all
        ("9 9", "1 1"): 0.5,
    }
    prompt = Prompt(text="p")
    said = lambda text: Response(prompt=prompt, text=text, tokens=(5,))
    rows = [
        Preference(query=Query(prompt=prompt, a=said(a), b=said(b)), p=p)
        for (a, b), p in told.items()
    ]
    loaded = Loaded(small.network(), tiny.tokenizer(), torch.device("cpu"), 64)
    judge = RewardModel.of(TransformerPolicy(loaded), heads=2, aggregate=aggregate)
    read = lambda responses: torch.tensor([[*map(float, r.text.split())] for r in responses])
    monkeypatch.setattr(judge, "scores", read)
    found = measured(judge, rows)
    assert (found["reward_accuracy"], found["reward_held_out"]) == (pytest.approx(share), 5)


def test_scores_are_of_the_reward_model_that_gave_them(model: str, tmp_path: Path) -> None:
    """π₀'s samples have been rated by both, and differently: no score outlives its model."""
    found = made("rlp_uml", model, tmp_path / "run", {"rounds": 1}, oracle=likes_short)
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    drawn = ledger.responses(0, "eval")
    for round in (1, 3):
        folder = found.folder / "rewards" / f"round-{round:04d}"
        rated = RewardModel.load(str(folder), settings=Model()).score(drawn)
        known = ledger.scores(f"reward {round}", [r.id for r in drawn])
        assert [known[r.id] for r in drawn] == pytest.approx(rated, abs=1e-4)
    ledger.close()


def test_whether_a_proxy_ranks_as_gold_does_is_asked_of_two_samples_of_each_prompt(
    model: str, tmp_path: Path
) -> None:
    """The report's and the KL's."""
    data = Given(prompts=small.PROMPTS, eval_prompts=[f"{p} {n}" for p in small.HELD for n in "ab"])
    many = {"measure.prompts": 8, "measure.kl_samples": 8, "rounds": 1}
    gold = small.Share(letters="abcdefgh")
    found = made("ppo", model, tmp_path / "run", many, data=data, oracle=likes_short, gold=gold)
    ledger, last = Ledger.open(found.folder / "ledger.sqlite"), found.metrics[-1]
    first, second = ledger.responses(2, "eval"), ledger.responses(2, "kl")
    proxy, true = (
        ledger.scores(name, [r.id for r in (*first, *second)]) for name in ("reward 1", "gold")
    )
    ledger.close()
    assert [r.prompt.id for r in first] == [r.prompt.id for r in second]
    right = [
        (proxy[a.id] > proxy[b.id]) == (true[a.id] > true[b.id])
        for a, b in zip(first, second, strict=True)
        if true[a.id] != true[b.id]
    ]
    assert len(right) > 1
    assert last["proxy_accuracy"] == pytest.approx(fmean(right))


def test_rlp_may_be_repeated_and_both_ways_joined() -> None:
    assert phases("rlp_uml", **{"reward.retrainings": 2}) == [
        *("reward", "policy 1", "reward 2", "policy 2", "reward 3", "policy 3"),
    ]
    joined = phases_of(
        parse({"recipe": "rlp_spg"}).override({"reward.views": {"name": "bottleneck"}})
    )
    views = [p.config.reward.views for p in joined if p.learns == "reward"]
    assert views[0] is None
    assert views[1] is not None


def test_imitation_comes_first_where_there_is_a_file_and_moves_pi0(
    model: str, tmp_path: Path
) -> None:
    """KL is from the imitating policy: 0 again as soon as the phase is over."""
    data = Given(prompts=small.PROMPTS, eval_prompts=small.HELD, completions=COMPLETIONS)
    # the recipe sees a file's name alone, so that the data has one
    settings = {"data.completions": "given", "learn.loss": "ppo"}
    lines = made("ppo", model, tmp_path / "run", settings, data=data, oracle=likes_short).metrics
    assert [line["phase"] for line in lines] == ["sft", "sft", "reward", "policy", "policy"]
    assert lines[1]["kl"] > 0.05
    assert lines[2]["kl"] == pytest.approx(0, abs=1e-5)


def test_what_imitated_is_what_is_won_against_and_whose_perplexity_is_told(
    model: str, tmp_path: Path
) -> None:
    """In the reward round the policy stands where it imitated."""
    data = Given(prompts=small.PROMPTS, eval_prompts=small.HELD, completions=COMPLETIONS)
    settings = {"data.completions": "given", "rounds": 1, "learn.loss": "ppo"}
    found = made("ppo", model, tmp_path / "run", settings, data=data, oracle=likes_short)
    ledger, line = Ledger.open(found.folder / "ledger.sqlite"), found.metrics[2]
    start, before, drawn = (ledger.responses(round, "eval") for round in (0, 1, 2))
    scores = ledger.scores("gold", [r.id for r in (*start, *before, *drawn)])
    logps = ledger.logps("round 1", [r.id for r in drawn])
    ledger.close()
    tokens = sum(len(r.tokens) for r in drawn)
    assert line["nll_ref"] == pytest.approx(-sum(r.logp or 0 for r in drawn) / tokens, abs=1e-3)
    assert line["nll_ref"] == pytest.approx(-sum(logps.values()) / tokens)
    won = lambda other: fmean(
        (scores[x.id] > scores[y.id]) + (scores[x.id] == scores[y.id]) / 2
        for x, y in zip(drawn, other, strict=True)
    )
    assert line["win_rate"] == pytest.approx(won(before)) != won(start)


def test_the_end_of_imitation_is_measured_however_rarely_other_rounds_are(
    model: str, tmp_path: Path
) -> None:
    """Ways are drawn from there."""
    data = Given(prompts=small.PROMPTS, eval_prompts=small.HELD, completions=COMPLETIONS)
    settings = {"data.completions": "given", "learn.loss": "ppo", "measure.every": 10}
    lines = made("ppo", model, tmp_path / "run", settings, data=data, oracle=likes_short).metrics
    assert [line["phase"] for line in lines] == ["sft", "sft", "reward", "policy", "policy"]
    assert [line["kl"] is not None for line in lines] == [True, True, False, False, True]


def test_imitation_may_go_farther_than_the_limit_of_the_climb(model: str, tmp_path: Path) -> None:
    """It becomes π₀, from which KL is measured."""
    data = Given(prompts=small.PROMPTS, eval_prompts=small.HELD, completions=COMPLETIONS)
    settings = {"data.completions": "given", "rounds": 1, "learn.loss": "ppo", "limits.kl": 0.01}
    found = made("ppo", model, tmp_path / "run", settings, data=data, oracle=likes_short)
    assert [line["phase"] for line in found.metrics] == ["sft", "sft", "reward", "policy"]
    assert found.metrics[1]["kl"] > 0.01 < found.metrics[3]["kl"]
    assert found.status == "limit"


def test_a_climb_learns_from_its_own_rounds_and_not_from_what_its_reward_was_asked(
    model: str, tmp_path: Path
) -> None:
    """The best of three samples to each of eight prompts, of one round and of two."""
    settings = {"learn.data": "all", "sample.sources": {"policy": 3}, "learn.epochs": 1}
    lines = made("raft", model, tmp_path / "run", settings, oracle=likes_short).metrics
    assert [line["phase"] for line in lines[1:]] == ["reward", "policy", "policy"]
    assert [line["rows"] for line in lines[1:]] == [8, 8, 16]


def test_replay_mixes_the_file_in(model: str, tmp_path: Path) -> None:
    data = Given(prompts=small.PROMPTS, eval_prompts=small.HELD, completions=COMPLETIONS)
    settings = {
        "explore.scorer": f"{ME}:share_of_e",
        "sample.sources": {"policy": 2},
        "ask.labels": None,
        "learn.replay": 0.5,
    }
    found = made("raft", model, tmp_path / "run", settings, data=data)
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    first, second = ([r.prompt.id for r in ledger.responses(n, "replay")] for n in (1, 2))
    ledger.close()
    assert [line["rows"] for line in found.metrics[1:]] == [16, 16]
    assert len(first) == len(second) == 8
    assert first != second, "every round draws its own"


def test_a_file_to_be_replayed_is_not_imitated_first() -> None:
    config = parse({"recipe": "raft", "data": {"completions": "texts.jsonl"}})
    names = lambda config: [phase.name for phase in phases_of(config)]
    assert names(config) == ["sft", "reward", "policy"]
    assert names(config.override({"learn.replay": 0.5})) == ["reward", "policy"]


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("ppo", {"sample.top_p": 0.9}, "sample.top_p=0.9; set it to 1"),
        ("ppo", {"credit.estimator": "mean"}, "has a critic.*set gae"),
        ("rloo", {"sample.sources": {"policy": 1}}, "set at least 2"),
        ("rloo", {"learn.data": "all"}, "set latest, all and 0"),
        ("rloo", {"learn.rows": "best"}, "set latest, all and 0"),
        ("rloo", {"learn.replay": 0.2, **FILED}, "set latest, all and 0"),
        ("rloo", {"credit.estimator": "gae"}, "has no critic.*set leave_one_out, mean or none"),
        ("ppo", {"sample.sources": {"policy": 1, "reference": 1}}, "policy's own samples alone"),
        ("raft", {"learn.replay": 0.2, "learn.bonus": "sft", **FILED}, "no samples beside it"),
        ("online_dpo", {"learn.replay": 0.2, **FILED}, "learns from pairs"),
        ("online_dpo", {"learn.loss": "sft", "learn.rows": "best"}, "needs a score of every sampl"),
        ("online_dpo", {"explore.scorer": "learned"}, "no phase before 'online' trains one"),
        ("raft", {"learn.replay": 0.2}, "needs data.completions"),
        ("ppo", {"learn.loss": "dpo"}, "asks nobody"),
        ("ppo", {"learn.bonus": "sft", "learn.bonus_on": "policy"}, "takes no bonus"),
        ("ppo", {"learn.reference": "previous"}, "is held to π₀"),
        ("ppo", {"measure.gold": "learned"}, "measure.gold=learned is the run's own"),
        ("ppo", {"measure.judges": ["vader", "asserted"]}, "measure.judges=asserted is the run's"),
        ("ppo", {"credit.target": 2.0, "credit.beta": 0.0}, "set credit.beta above 0"),
        ("online_dpo", {"learn.rows": "best", "explore.scorer": "proxy"}, "learns from pairs"),
        ("raft", {"sample.sources": {"policy": 1}}, "picks one of several"),
        ("rlp_uml", {"explore.scorer": f"{ME}:share_of_e"}, "learns its reward models itself"),
        ("ppo", {"reward.loss": "kwise"}, "learns from ranked lists or ratings"),
        ("ppo", {"reward.loss": "margin"}, "learns from how much better one is"),
        ("ppo", {"reward.aggregate": "min"}, "set reward.heads=4"),
        ("ppo", {"reward.loss": "odin"}, "set reward.heads=2 and reward.aggregate=first"),
        ("ppo", {"reward.aggregate": "first", "reward.heads": 2}, "leaves out what the other"),
        ("ppo", {"learn.init_from": "pi0"}, "goes on from the policy that drew the samples"),
        (
            "ppo",
            {"explore.scorer": f"{ME}:share_of_e", "credit.critic": "reward"},
            "set credit.critic=zero",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    recipe: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(recipe, "no-such-model", tmp_path / "run", settings, oracle=likes_short)
    assert not (tmp_path / "run").exists()


def test_views_of_one_sample_a_prompt_are_refused() -> None:
    """Recipes that learn from views draw ten; one to come must not forget to."""
    *before, again, _ = phases_of(parse({"recipe": "rlp_uml"}))
    few = replace(again, config=again.config.override({"sample.sources": {"policy": 1}}))
    require_reward(again, before, {})
    with pytest.raises(ConfigError, match=r"compares two of the policy's samples .*got .*1"):
        require_reward(few, before, {})


def test_answers_that_all_tie_are_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"all 8 answers .* are ties"):
        made("ppo", model, tmp_path / "run", oracle=lambda queries: [0.5] * len(queries))


def test_no_accepted_pair_is_refused_and_nothing_is_lost(model: str, tmp_path: Path) -> None:
    settings = {
        "explore.rule": {"name": "largest_cluster", "confidence": 1.0},
        "explore.clusters": "exact",
    }
    with pytest.raises(ConfigError, match=r"accepted no pair of any .*confidence"):
        made("rlp_spg", model, tmp_path / "run", settings, oracle=likes_short)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 4


def test_rounds_that_would_move_a_finished_phase_are_refused(model: str, tmp_path: Path) -> None:
    """Those of the last phase may be more; those of an earlier one are history."""
    folder = tmp_path / "run"
    made("rlp_uml", model, folder, {"rounds": 1}, oracle=likes_short)
    with pytest.raises(ConfigError, match=r"round 3 .*'reward 2'.* 'policy 1'"):
        made("rlp_uml", model, folder, {"rounds": 2}, oracle=likes_short)
    longer = tmp_path / "longer"
    made("ppo", model, longer, {"rounds": 1}, oracle=likes_short)
    assert len(made("ppo", model, longer, {"rounds": 2}, oracle=likes_short).metrics) == 4


def test_a_scorer_handed_over_that_nobody_would_climb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="would never be climbed"):
        made("ppo", "none", tmp_path / "run", scorer=small.Share(), oracle=likes_short)


def test_imitation_takes_over_nothing_of_what_the_policy_does_later(
    model: str, tmp_path: Path
) -> None:
    """It reads the whole file and buys no label, however the policy samples afterwards."""
    data = Given(prompts=small.PROMPTS, eval_prompts=small.HELD, completions=COMPLETIONS)
    settings = {
        "data.completions": "given",
        "sample.sources": {"policy": 3},
        "sample.prompts": 4,
        "learn.rows": "best",
    }
    lines = made("raft", model, tmp_path / "run", settings, data=data, oracle=likes_short).metrics
    assert lines[1]["phase"] == "sft"
    assert lines[1]["rows"] == len(COMPLETIONS)
    assert lines[1]["labels_total"] == 0
    assert lines[-1]["labels_total"] == 8


def test_a_setting_of_an_earlier_phase_may_not_change_either(model: str, tmp_path: Path) -> None:
    """The last phase asks nobody, so that its own config no longer says how many were asked."""
    made("ppo", model, tmp_path / "run", {"rounds": 1}, oracle=likes_short)
    with pytest.raises(ConfigError, match=r"sample.prompts: was 8, now 4"):
        made("ppo", model, tmp_path / "run", {"rounds": 1, "ask.labels": 4}, oracle=likes_short)


def test_which_samples_could_be_rated_does_not_change_in_a_round_that_is_under_way(
    model: str, tmp_path: Path
) -> None:
    """A scorer that failed on some recovers after a kill: the rows are the committed ones."""
    settings = {**LOSING, "checkpoint.steps": 1, "model.path": model}
    work = (raft_of, str(tmp_path / "run"), settings)
    step = ("prefloop.learn.step:Stepper.step", 1, "after")
    assert small.elsewhere(small.killed_at, *step, *work, "losing") == -signal.SIGKILL
    assert small.elsewhere(*work, "kind") == 0


LOSING: dict[str, Any] = {
    **SETTINGS,
    "rounds": 1,
    "ask.labels": None,
    "ask.max_missing": 0.5,
    "sample.sources": {"policy": 2},
    "learn.rows": "all",
    "learn.loss": "rloo",
    "credit.estimator": "leave_one_out",
}


def raft_of(out: str, settings: Mapping[str, Any], scorer: str) -> None:
    """A round of RLOO whose scorer loses some samples, or none."""
    data = Given(prompts=small.PROMPTS, eval_prompts=small.HELD)
    with patch.object(summary, "write"):
        run(
            "rloo",
            out,
            {**settings, "explore.scorer": f"{ME}:rater"},
            data=data,
            scorer=SCORERS[scorer](),
        )


class Losing:
    """Cannot rate what answers a prompt early in the alphabet, nor one of two about the plot."""

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        lost = [
            r.prompt.text < "the film" or ("plot" in r.prompt.text and r.id.endswith(".0"))
            for r in responses
        ]
        rated = Kind().score(responses)
        return [Missing("lost") if no else x for no, x in zip(lost, rated, strict=True)]


class Kind:
    """Rates all."""

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        return [float(len(r.text)) for r in responses]


SCORERS = {"losing": Losing, "kind": Kind}


def rater(responses: Sequence[Response]) -> list[float]:
    """Stands in the config for the scorer that is handed over."""
    return [0.0 for _ in responses]
