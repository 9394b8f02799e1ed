"""What a loss says it needs is supplied by a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import small
from prefloop import plugins
from prefloop.learn.learner import Plan
from prefloop.runs import Given
from prefloop.runs.facts import Gathering
from prefloop.store.ledger import Ledger

NEEDY = [
    name
    for name in plugins.names("losses")
    if (needs := plugins.card("losses", name).needs) and "reward" not in needs
]
ONE: dict[str, Any] = {"rounds": 1, "learn.epochs": 1}
OWN = {
    "sail": {"learn.batch": 8, "sample.sources": {"policy": 2}, "explore.rule": "on_policy"},
    "sppo": {"learn.loss.beta": 0.5},
}


@pytest.mark.parametrize("loss", NEEDY)
def test_the_first_step_of_a_needy_loss_is_that_of_a_policy_at_its_reference(
    loss: str, model: str, tmp_path: Path
) -> None:
    settings = {**ONE, "learn.loss": loss, **OWN.get(loss, {})}
    line = small.small_run(model, tmp_path / "run", settings).metrics[-1]
    of_points = {"kto": 0.5, "bco": np.log(2)}
    expected = of_points.get(loss, line["loss_expected_first"])
    assert line["loss_first"] == pytest.approx(expected, abs=1e-3, rel=1e-3)


def seen(model: str, folder: Path, loss: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """The facts of every round of a run, and its ledger."""
    found: list[Any] = []
    gather = Gathering.__call__

    def watched(self: Gathering, rows: Any, plan: Plan) -> Any:
        facts = gather(self, rows, plan)
        found.append((rows, facts))
        return facts

    monkeypatch.setattr(Gathering, "__call__", watched)
    small.small_run(model, folder, {"learn.epochs": 1, "learn.loss": loss, **more})
    return found, Ledger.open(folder / "ledger.sqlite")


def test_the_policy_of_the_round_before_is_a_second_reference(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, second), ledger = seen(model, tmp_path / "run", "inpo", monkeypatch)
    rows, facts = first
    assert facts.prev == pytest.approx({name: facts.ref[name] for name in facts.prev}, abs=1e-4)
    rows, facts = second
    assert max(abs(facts.prev[name] - facts.ref[name]) for name in facts.prev) > 1e-3
    drew = {r.id: r.logp for row in rows for r in (row.query.a, row.query.b)}
    ledger.close()
    assert facts.prev == pytest.approx(drew, abs=1e-3), "the policy that drew them"


def test_a_win_rate_is_over_all_candidates_of_the_prompt_itself_included(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _), ledger = seen(model, tmp_path / "run", "sppo", monkeypatch)
    rows, facts = first
    score = small.Share(letters="aeiou").score
    row = rows[3]
    place = row.query.a.id.split(".")[1]
    group = [r for r in ledger.responses(1, "train") if r.id.split(".")[1] == place]
    ledger.close()
    assert len(group) == 3
    mine, others = score([row.query.a])[0], score(group)
    expected = sum(1 / (1 + np.exp(other - mine)) for other in others) / 3
    assert facts.win[row.query.a.id] == pytest.approx(expected)


def test_widths_shrink_where_questions_were_asked(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Γ = 1/√ridge before the first answer, for every response: features have length one."""
    (first, second), ledger = seen(model, tmp_path / "run", "margin_dpo", monkeypatch)
    ledger.close()
    assert list(first[1].width.values()) == pytest.approx([1.0] * len(first[1].width))
    later = np.array(list(second[1].width.values()))
    assert (later < 1.0).all() and later.mean() < 0.97


def test_novelty_counts_the_questions_of_earlier_rounds_only(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bonus = {"learn.bonus": "copo", "explore.novelty": "elliptical"}
    (first, second), ledger = seen(model, tmp_path / "run", "dpo", monkeypatch, **bonus)
    ledger.close()
    new = 1 / np.sqrt(0.1)
    assert list(first[1].novelty.values()) == pytest.approx([new] * 8)
    assert max(second[1].novelty.values()) < new


def test_of_a_file_kto_pairs_prompts_with_other_prompts_responses(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"prompt": p, "completion": " seen", "label": i % 2 == 0}
        for i, p in enumerate(small.PROMPTS)
    ]
    line = small.small_run(
        model,
        tmp_path / "run",
        {
            "learn.loss": "kto",
            "learn.batch": 4,
            "learn.epochs": 2,
            "rounds": 1,
            "sample.sources": {"dataset": 1},
            "explore.rule": "on_policy",
        },
        recipe="sft",
        data=Given(completions=rows, eval_prompts=small.HELD),
        oracle=None,
        scorer=None,
    ).metrics[-1]
    assert line["rows"] == 8 and 0 < line["loss"] < 1


def test_a_batch_of_one_has_no_mismatched_pair(model: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs another prompt in the batch.*raise learn.batch"):
        small.small_run(model, tmp_path / "run", {**ONE, "learn.loss": "kto", "learn.batch": 1})
