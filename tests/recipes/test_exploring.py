"""Recipes that explore: what each reduces to, whose samples it is about, and that it works."""

from math import log
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from test_recipes import HELD_PREFERENCES, PLAIN, PREFERENCES, likes_e

import accounts
import small
from prefloop.config import ConfigError
from prefloop.runs import Given, run
from prefloop.store.ledger import Ledger

ONLINE = ("xpo", "selm", "vpo", "copo", "sail_pr")
PROMPTS = [f"{a} {b}" for a in small.THINGS for b in ("is", "was", "has", "had")]
SETTINGS = {
    "rounds": 3,
    "sample.prompts": 32,
    "sample.chunk": 200,
    "measure.prompts": 32,
    "learn.epochs": 3,
    "learn.loss.beta": 0.1,
}
STRENGTH = {"xpo": 1e-3, "selm": 1e-2, "vpo": 0.05, "copo": 0.01}
ONE_STEP = {
    "rounds": 10,
    "learn.epochs": 1,
    "learn.batch": 32,
    "measure.every": 10,
    "sample.sources": {"policy": 2},
}


def aligned(recipe: str, model: str, folder: Path, **changes: Any) -> Any:
    """A run whose oracle likes the letter e."""
    own: dict[str, Any] = {"explore.rule": "best_worst", "sample.sources": {"policy": 4}}
    if recipe in ("vpo", "xpo"):
        own["sample.sources"] = {"policy": 2, "reference": 2}
    if recipe in STRENGTH:
        own["learn.bonus.alpha"] = STRENGTH[recipe]
    own |= ONE_STEP if recipe == "sail_pr" else {}
    return run(
        recipe,
        folder,
        {**PLAIN, "model.path": model, **SETTINGS, **own, **changes},
        data=Given(prompts=PROMPTS, eval_prompts=[p + " not" for p in PROMPTS]),
        oracle=likes_e,
        scorer=small.Share(letters="e"),
        gold=small.Share(letters="e"),
    )


@pytest.mark.parametrize("recipe", ONLINE)
def test_exploring_makes_what_the_oracle_likes_frequent(
    recipe: str, model: str, tmp_path: Path
) -> None:
    found = aligned(recipe, model, tmp_path / "run")
    before, after = found.metrics[0], found.metrics[-1]
    assert after["gold_reward_mean"] > 2 * before["gold_reward_mean"]
    assert after["win_rate_low"] > 0.5


@pytest.mark.parametrize(
    ("recipe", "plain"),
    [
        ("copo", "online_dpo"),
        ("vpo", "online_dpo"),
        ("sail_pr", "online_dpo"),
    ],
)
def test_without_its_term_a_recipe_is_online_dpo(
    recipe: str, plain: str, model: str, tmp_path: Path
) -> None:
    """Same samples, same questions, same weights but for rounding: a tree has one branch more."""
    none = {"sail_pr": {"learn.loss.gamma": 0.0}}.get(recipe, {"learn.bonus.alpha": 0.0})
    same: dict[str, Any] = {"sample.sources": {"policy": 2, "reference": 1}, "rounds": 2}
    same |= {"explore.rule": "on_policy", "learn.epochs": 1, "measure.every": 2}
    same |= {"sample.temperature": 1.0, "sample.top_p": 1.0, "learn.batch": 32}
    aligned(recipe, model, tmp_path / "one", **same, **none)
    aligned(plain, model, tmp_path / "other", **same)
    mine, theirs = (load_file(tmp_path / n / "policy/model.safetensors") for n in ("one", "other"))
    for name, tensor in mine.items():
        assert abs(tensor - theirs[name]).max() < 2e-6, name


def test_xpo_pushes_down_what_the_reference_says_more_than_plain_dpo_does(
    model: str, tmp_path: Path
) -> None:
    """The mean log-probability under the trained policy of π₀'s samples of that round."""

    def likelihood(alpha: float) -> float:
        folder = tmp_path / str(alpha)
        settings = {"rounds": 2, "learn.bonus.alpha": alpha, "learn.max_grad_norm": 100.0}
        sources = {"sample.sources": {"policy": 1, "reference": 1}}
        aligned(
            "xpo",
            model,
            folder,
            **settings,
            **sources,
            **{"explore.rule": "policy_vs_reference", "measure.kl_samples": 32},
        )
        return likelihood_of_reference(folder)

    assert likelihood(0.05) < likelihood(0.0) - 1.0


def likelihood_of_reference(folder: Path) -> float:
    """Mean log π of what π₀ said in round 1, under the policy that the run left."""
    from prefloop.config import Model
    from prefloop.models.load import load
    from prefloop.models.transformer import TransformerPolicy

    ledger = Ledger.open(folder / "ledger.sqlite")
    said = [r for r in ledger.responses(1, "train") if r.source == "reference"]
    ledger.close()
    policy = TransformerPolicy(load(Model(path=str(folder / "policy"))), precision="float32")
    return float(policy.logps(said).detach().mean())


def test_xpo_learns_from_all_labels_and_its_reference_samples_are_pi0s(
    model: str, tmp_path: Path
) -> None:
    found = small.small_run(
        model,
        tmp_path / "run",
        {
            "sample.sources": {"policy": 1, "reference": 1},
            "explore.rule": "policy_vs_reference",
            "rounds": 3,
        },
        recipe="xpo",
    )
    assert [m["rows"] for m in found.metrics[1:]] == [8, 16, 24]
    ledger = Ledger.open(tmp_path / "run" / "ledger.sqlite")
    said = [r for r in ledger.responses(3, "train") if r.source == "reference"]
    known = ledger.logps("pi0", [r.id for r in said])
    ledger.close()
    assert len(said) == 8 and all(r.logp == pytest.approx(known[r.id], abs=1e-4) for r in said), (
        "drawn from the frozen initial model"
    )


def test_sail_takes_one_step_a_round_on_prompts_that_do_not_recur(
    model: str, tmp_path: Path
) -> None:
    """The published buffer recycles about a dozen prompts, paired with the wrong responses."""
    folder = tmp_path / "run"
    settings = {**ONE_STEP, "rounds": 4, "sample.prompts": 8, "learn.batch": 8}
    found = aligned("sail_pr", model, folder, **settings)
    ledger = Ledger.open(folder / "ledger.sqlite")
    asked = [q for r in range(1, 5) for q in ledger.queries(r)]
    versions = {r.policy_version for r in ledger.responses(3, "train")}
    ledger.close()
    assert len({q.prompt.id for q in asked}) > 0.95 * len(asked)
    assert all(q.a.prompt == q.b.prompt == q.prompt for q in asked)
    assert versions == {2}, "samples of the policy that takes the step"
    assert [m["rows"] for m in found.metrics[1:]] == [len(asked) // 4] * 4


def test_sail_pp_labels_its_own_samples_and_reads_the_files(model: str, tmp_path: Path) -> None:
    found = run(
        "sail_pp",
        tmp_path / "run",
        {**PLAIN, "model.path": model, "rounds": 12, "sample.prompts": 8, "learn.batch": 8}
        | {"explore.rule.share": 0.5, "learn.lr": 2e-2, "learn.epochs": 1, "measure.every": 12},
        data=Given(preferences=PREFERENCES + HELD_PREFERENCES, eval_prompts=small.HELD),
    )
    answers = accounts.ledger(tmp_path / "run")["answers"]
    own = [row for row in answers if row[5] == "unasked"]
    given = [row for row in answers if row[5] == "recorded"]
    assert 20 < len(own) < 76 and len(own) + len(given) == 96
    assert {row[1] for row in own} == {0.5} and {row[4] for row in own} == {0.0}
    assert found.metrics[-1]["eval_accuracy"] == 1.0


@pytest.mark.parametrize("recipe", ["sail_dp", "vpo_offline"])
def test_offline_recipes_prefer_what_the_file_prefers(
    recipe: str, model: str, tmp_path: Path
) -> None:
    found = run(
        recipe,
        tmp_path / "run",
        {**PLAIN, "model.path": model, "learn.epochs": 10},
        data=Given(preferences=PREFERENCES + HELD_PREFERENCES, eval_prompts=small.HELD),
    )
    line = found.metrics[-1]
    assert line["eval_accuracy"] == 1.0 and line["accuracy"] > 0.8
    # −0.6 log σ(0) + 0.4 · 0.2 · H(½) for SAIL; the bonus of VPO is not part of the loss
    expected = log(2) * (0.6 + 0.08 if recipe == "sail_dp" else 1.0)
    assert line["loss_first"] == pytest.approx(expected, abs=1e-5)


def test_pessimism_keeps_the_chosen_responses_likelier_than_plain_dpo(
    model: str, tmp_path: Path
) -> None:
    def chosen(recipe: str, **more: Any) -> float:
        found = run(
            recipe,
            tmp_path / recipe,
            {**PLAIN, "model.path": model, "learn.epochs": 10, **more},
            data=Given(preferences=PREFERENCES, eval_prompts=small.HELD),
        )
        return float(found.metrics[-1]["logp_chosen"])

    assert chosen("vpo_offline", **{"learn.bonus.alpha": 5.0}) > chosen("dpo") + 0.5


def test_copo_paper_runs_as_it_was_published(model: str, tmp_path: Path) -> None:
    found = small.small_run(
        model,
        tmp_path / "run",
        {
            "sample.sources": {"policy": 2, "hot": 1},
        },
        recipe="copo_paper",
    )
    ledger = Ledger.open(tmp_path / "run" / "ledger.sqlite")
    greedy = {r.prompt.id: r.text for r in ledger.responses(1, "train") if r.source == "hot"}
    ledger.close()
    assert len(greedy) == 8
    assert found.metrics[-1]["bonus_push"] < 0, "raised"
    assert abs(found.metrics[-1]["bonus_push"]) < 1e-5, "by next to nothing"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learn.bonus": "copo"}, r"needs to know how new .*explore.novelty=elliptical"),
        ({"learn.bonus": "xpo"}, r"xpo is on the reference's responses, got .*add reference: 1"),
        ({"explore.novelty": "elliptical"}, r"explore.novelty is set, but no rule, loss or bonus"),
        ({"explore.features": "hidden"}, r"explore.features is set, but no rule"),
        ({"explore.prompts": "disputed"}, r"explore.prompts=disputed .*ask.labels below"),
        ({"learn.loss": "sppo", "explore.scorer": None}, r"regresses onto win rates.*scorer"),
        (
            {"learn.loss": "sail", "learn.epochs": 1},
            r"rounds of one step, got .*prompts=8.*batch=4",
        ),
        ({"learn.loss": "sail", "sample.top_p": 0.9}, r"sample.top_p=0.9; set both to 1"),
        ({"learn.loss": "sail", "learn.epochs": 2}, r"fresh samples at every step, got .*epochs=2"),
        ({"explore.rule": "temperature_pair"}, r"set sample.sources=\{policy: 1, hot: 1\}"),
        (
            {"explore.rule": "checkpoint_pair", "sample.sources": {"policy": 1, "previous": 1}},
            r"checkpoint.keep=1 would have deleted; set checkpoint.keep=2",
        ),
    ],
)
def test_what_cannot_explore_is_refused_before_anything_is_drawn(
    settings: dict[str, Any], message: str, model: str, tmp_path: Path
) -> None:
    given = {"scorer": None} if "explore.scorer" in settings else {}
    with pytest.raises(ConfigError, match=message):
        small.small_run(model, tmp_path / "run", settings, **given)
    assert not (tmp_path / "run").exists()


def test_a_bonus_takes_the_losss_beta_unless_told_otherwise(model: str, tmp_path: Path) -> None:
    """SELM's push is αβ on every sample."""
    base = {"learn.loss.beta": 0.5, "learn.bonus.alpha": 0.1, "rounds": 1}
    sources = {"sample.sources": {"policy": 2}}
    one = small.small_run(model, tmp_path / "a", {**base, **sources}, recipe="selm")
    assert one.metrics[-1]["bonus_push"] == pytest.approx(0.05)
    told = {**base, **sources, "learn.bonus.beta": 0.2}
    other = small.small_run(model, tmp_path / "b", told, recipe="selm")
    assert other.metrics[-1]["bonus_push"] == pytest.approx(0.02)
