"""A whole comparison of tiny runs: what is made, kept, continued and refused."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

import inside
from prefloop.compare.main import Against, Comparison, Request, compare, read_axis, read_methods
from prefloop.compare.plan import TUNING
from prefloop.config import ConfigError
from prefloop.runs.measure import Measuring


def asked_for(settings: dict[str, Any], methods: str, **changes: Any) -> Request:
    """Two seeds, eight labels, no grid, unless it is said otherwise."""
    usual = {"labels": 8, "seeds": 2, "tune_seeds": 0, "settings": settings}
    return Request(methods=read_methods(methods), **{**usual, **changes})


@pytest.fixture(scope="module")
def made(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two methods, a grid of two learning rates, two seeds."""
    out = tmp_path_factory.mktemp("compare") / "out"
    request = asked_for(
        settings,
        "online_dpo,best_random",
        tune_seeds=1,
        grid=[read_axis("learn.lr=0.1x,1x")],
    )
    said: list[str] = []
    with inside.started_here(doing=inside.make) as starter:
        found = compare(request, out, say=said.append)
    return {"found": found, "out": out, "request": request, "starter": starter, "said": said}


class TestAComparison:
    """Two methods from the first trial to the tables."""

    def test_every_method_gets_the_same_number_of_trials_and_of_reported_runs(self, made) -> None:
        jobs = Counter((job.method, job.tunes) for job in made["starter"].started)
        assert set(jobs.values()) == {2}
        assert len(jobs) == 4

    def test_grids_are_tried_on_seeds_that_are_not_reported(self, made) -> None:
        tried = {job.seed for job in made["starter"].started if job.tunes}
        reported = {job.seed for job in made["starter"].started if not job.tunes}
        assert (tried, reported) == ({TUNING}, {0, 1})

    def test_reported_runs_are_at_the_point_that_was_picked(self, made) -> None:
        picks = made["found"].tuning.picks
        assert {(j.method, j.point) for j in made["starter"].started if not j.tunes} == set(
            picks.items()
        )

    def test_a_method_has_the_settings_that_make_it_one(self, made) -> None:
        rules = {job.method: job.config.explore.rule.name for job in made["starter"].started}
        assert rules["best_random"] == "best_random"
        assert rules["online_dpo"] == "on_policy"

    def test_every_run_spends_the_labels_that_were_asked_for(self, made) -> None:
        for standing in made["found"].outcome.standings:
            for rows in standing.runs.rows.values():
                assert rows[-1]["labels_total"] == 8

    def test_gold_is_compared_where_every_run_has_been(self, made) -> None:
        outcome = made["found"].outcome
        for standing in outcome.standings:
            assert standing.reached == 2
            for rows in standing.runs.rows.values():
                assert max(row["kl"] for row in rows) >= outcome.kl * (1 - 1e-9)

    def test_the_folder_explains_itself(self, made) -> None:
        out = made["out"]
        for name in ("comparison.yaml", "table.md", "results.json", "comparison.svg"):
            assert (out / name).stat().st_size > 100, name
        folders = {path.parent.relative_to(out).parts for path in out.rglob("metrics.jsonl")}
        assert ("online_dpo", "learn.lr=0.001", f"seed-{TUNING}") in folders
        assert ("best_random", made["found"].tuning.picks["best_random"], "seed-1") in folders

    def test_no_checkpoint_of_an_ended_run_takes_space_and_reported_policies_stay(
        self, made
    ) -> None:
        assert not list(made["out"].rglob("checkpoints"))
        seeds = {path.parent.name for path in made["out"].rglob("policy")}
        assert seeds == {"seed-0", "seed-1"}

    def test_results_are_json_with_every_runs_curve(self, made) -> None:
        found = json.loads((made["out"] / "results.json").read_text(), parse_constant=pytest.fail)
        assert [m["method"] for m in found["methods"]] == ["online_dpo", "best_random"]
        curve = found["methods"][1]["runs"]["0"]
        assert [point["labels_total"] for point in curve] == [0, 4, 8]
        assert found["methods"][0]["difference_at_kl"] is None
        assert {"value", "low", "high"} == set(found["methods"][1]["difference_at_kl"])
        assert len(found["tuning"]["trials"]) == 4

    def test_the_table_has_one_row_a_method_and_every_trial(self, made) -> None:
        page = (made["out"] / "table.md").read_text()
        assert len(re.findall(r"^\| online_dpo \|", page, re.MULTILINE)) == 4
        assert len(re.findall(r"^\| best_random \|", page, re.MULTILINE)) == 4
        assert page.count(" * |") == 2, "one pick a method"

    def test_the_drawing_names_the_methods_and_the_axes(self, made) -> None:
        drawing = (made["out"] / "comparison.svg").read_text()
        for word in ("online_dpo", "best_random", "gold reward", "labels spent", "nats"):
            assert word in drawing

    def test_the_same_command_again_makes_no_run_and_finds_the_same(self, made) -> None:
        before = (made["out"] / "results.json").read_text()
        with inside.started_here() as starter:
            compare(made["request"], made["out"], say=lambda line: None)
        assert starter.started == []
        assert (made["out"] / "results.json").read_text() == before


def fresh(out: Path, request: Request, **options: Any) -> tuple[Comparison, list[Any]]:
    """The comparison and the runs it had to make."""
    with inside.started_here(**options) as starter:
        return compare(request, out, say=lambda line: None), starter.started


def curves(found: Comparison) -> list[Any]:
    """Gold reward and KL, round by round, of every reported run."""
    runs = [rows for s in found.outcome.standings for rows in s.runs.rows.values()]
    return [[(row["kl"], row["gold_reward_mean"]) for row in rows] for rows in runs]


class TestContinuing:
    """What a comparison does in a folder that has one."""

    def test_an_interrupted_one_makes_only_what_is_left(self, settings, tmp_path) -> None:
        request = asked_for(settings, "online_dpo,best_random", seeds=1)
        said: list[str] = []
        with inside.started_here(limit=1) as starter, pytest.raises(KeyboardInterrupt):
            compare(request, tmp_path, say=said.append)
        assert "the same command continues" in said[-1]
        first = starter.started
        found, rest = fresh(tmp_path, request)
        assert [job.method for job in first + rest] == ["online_dpo", "best_random"]
        assert all(standing.runs.rows for standing in found.outcome.standings)

    def test_a_run_that_was_cut_off_goes_on_and_ends_as_if_it_had_not_been(
        self, settings, tmp_path
    ) -> None:
        request = asked_for(settings, "online_dpo", seeds=1)
        whole, _ = fresh(tmp_path / "whole", request, doing=inside.make)
        usual = Measuring.__call__

        def cut(self: Measuring, round: int) -> Any:
            if round == 2:
                raise KeyboardInterrupt
            return usual(self, round)

        with patch.object(Measuring, "__call__", cut), pytest.raises(KeyboardInterrupt):
            fresh(tmp_path / "cut", request, doing=inside.make)
        found, made = fresh(tmp_path / "cut", request, doing=inside.make)
        assert len(made) == 1
        assert curves(found) == curves(whole)

    def test_seeds_and_methods_may_be_added(self, settings, tmp_path) -> None:
        fresh(tmp_path, asked_for(settings, "online_dpo", seeds=1))
        _, rest = fresh(tmp_path, asked_for(settings, "online_dpo,best_random", seeds=2))
        made = [(job.method, job.seed) for job in rest]
        assert made == [("best_random", 0), ("online_dpo", 1), ("best_random", 1)]
        fresh(tmp_path, asked_for(settings, "best_random", seeds=1))
        kept = yaml.safe_load((tmp_path / "comparison.yaml").read_text())["methods"]
        assert set(kept) == {"online_dpo", "best_random"}, "what is left out now is not forgotten"

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"labels": 4}, "labels: was 8, now 4"),
            ({"settings": {"learn.lr": 0.5}}, "online_dpo config learn.lr: was 0.01, now 0.5"),
            ({"tune_seeds": 1}, "tune_seeds: was 0, now 1"),
        ],
    )
    def test_what_decides_the_numbers_may_not_change(
        self, changes, says, settings, tmp_path
    ) -> None:
        changes = dict(changes)
        fresh(tmp_path, asked_for(settings, "online_dpo", seeds=1))
        mine = {**settings, **changes.pop("settings", {})}
        with inside.started_here() as starter, pytest.raises(ConfigError, match=re.escape(says)):
            compare(asked_for(mine, "online_dpo", **changes), tmp_path)
        assert starter.started == []

    def test_what_decides_no_number_may(self, settings, tmp_path) -> None:
        fresh(tmp_path, asked_for(settings, "online_dpo", seeds=1))
        freer = {**settings, "model.threads": 2, "ask.retries": 5}
        _, rest = fresh(tmp_path, asked_for(freer, "online_dpo", seeds=1))
        assert rest == []


class TestFailures:
    """A run that breaks is a row that says so."""

    def test_of_one_seed_leaves_the_others(self, settings, tmp_path) -> None:
        request = asked_for(settings, "online_dpo,best_random")
        breaks = {("best_random", 1): "prefloop: no more coffee"}
        found, _ = fresh(tmp_path, request, breaks=breaks)
        plain, other = found.outcome.standings
        assert (len(plain.runs.rows), len(other.runs.rows)) == (2, 1)
        assert other.runs.failed == {"seed 1": "no more coffee"}
        assert "best_random, seed 1: no more coffee" in (tmp_path / "table.md").read_text()

    def test_of_all_seeds_is_a_row_without_numbers(self, settings, tmp_path) -> None:
        request = asked_for(settings, "online_dpo,best_random")
        breaks = {("best_random", seed): "RuntimeError: boom" for seed in (0, 1)}
        found, _ = fresh(tmp_path, request, breaks=breaks)
        assert found.outcome.standings[1].gold_at_kl is None
        page = (tmp_path / "table.md").read_text()
        assert re.search(r"^\| best_random \| failed \| – ", page, re.MULTILINE)
        assert page.count("boom") == 2

    def test_of_every_trial_makes_no_reported_run(self, settings, tmp_path) -> None:
        request = asked_for(
            settings,
            "online_dpo,best_random",
            seeds=1,
            tune_seeds=1,
            grid=[read_axis("learn.lr=1x,2x")],
        )
        breaks = {("best_random", TUNING): "RuntimeError: boom"}
        found, made = fresh(tmp_path, request, breaks=breaks)
        assert [job for job in made if job.method == "best_random" and not job.tunes] == []
        assert len(found.outcome.standings[1].runs.failed) == 2
        assert "boom" in (tmp_path / "table.md").read_text()

    def test_of_a_run_is_mended_by_the_same_command(self, settings, tmp_path) -> None:
        request = asked_for(settings, "online_dpo", seeds=1)
        fresh(tmp_path, request, breaks={("online_dpo", 0): "boom"})
        found, made = fresh(tmp_path, request)
        assert len(made) == 1
        assert found.outcome.standings[0].runs.failed == {}

    def test_of_everything_still_ends_in_a_table(self, settings, tmp_path) -> None:
        request = asked_for(settings, "online_dpo", seeds=1)
        found, _ = fresh(tmp_path, request, breaks={("online_dpo", 0): "boom"})
        assert found.outcome.target is None
        assert (tmp_path / "comparison.svg").exists()


def test_the_baseline_and_what_is_compared_at_can_be_chosen_afterwards(settings, tmp_path) -> None:
    request = asked_for(settings, "online_dpo,best_random")
    first, _ = fresh(tmp_path, request)
    with inside.started_here() as starter:
        again = compare(
            request,
            tmp_path,
            against=Against(baseline="best_random", kl=first.outcome.kl / 4, target=-1.0),
            say=lambda line: None,
        )
    assert starter.started == []
    assert again.outcome.standings[1].difference_at_kl is None
    assert again.outcome.standings[0].labels_to_target.median == 0
    there, back = first.outcome.standings[1], again.outcome.standings[0]
    assert there.difference_at_end.value == pytest.approx(-back.difference_at_end.value)


def test_a_baseline_that_is_not_compared_is_refused(settings, tmp_path) -> None:
    with pytest.raises(ConfigError, match="baseline must be one of online_dpo, got 'dpo'"):
        compare(asked_for(settings, "online_dpo"), tmp_path, against=Against(baseline="dpo"))
