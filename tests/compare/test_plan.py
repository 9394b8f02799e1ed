"""What is compared, in how many rounds, at which points of a grid: decided before any run."""

import re
from pathlib import Path
from typing import Any

import pytest

from prefloop.compare.budget import rounds_for
from prefloop.compare.grid import around, crossed, read_axis
from prefloop.compare.methods import as_folder, read_method, read_methods
from prefloop.compare.plan import TUNING, Plan, Request
from prefloop.compare.testbeds import TESTBEDS
from prefloop.config import ConfigError, parse
from prefloop.runs.folder import FolderError
from prefloop.runs.open import phases_of


def config(recipe: str = "online_dpo", **settings: Any):
    return parse({"recipe": recipe}).override(settings)


class TestMethods:
    """`--methods`."""

    def test_a_recipe_is_itself(self) -> None:
        assert read_method("iterative_dpo").settings == {"recipe": "iterative_dpo"}

    def test_a_rule_is_online_dpo_with_that_rule(self) -> None:
        found = read_method("best_random").settings
        assert found == {"recipe": "online_dpo", "explore.rule": {"name": "best_random"}}

    def test_a_rule_that_compares_sources_gets_a_candidate_of_each(self) -> None:
        found = read_method("policy_vs_reference").settings["sample.sources"]
        assert found == {"policy": 1, "reference": 1}

    def test_settings_of_its_own_follow_after_colons(self) -> None:
        found = read_method("online_dpo:learn.lr=1e-4:learn.loss={name: ipo, beta: 0.2}").settings
        assert found["learn.lr"] == 1e-4
        assert found["learn.loss"] == {"name": "ipo", "beta": 0.2}

    def test_a_part_of_the_users_keeps_its_colon(self) -> None:
        found = read_method("online_dpo:learn.loss=my_losses:cautious:learn.lr=1").settings
        assert (found["learn.loss"], found["learn.lr"]) == ("my_losses:cautious", 1)

    def test_commas_inside_braces_do_not_part_methods(self) -> None:
        names = [m.name for m in read_methods("online_dpo:learn.loss={name: ipo, beta: 1}, dpo")]
        assert names == ["online_dpo:learn.loss={name: ipo, beta: 1}", "dpo"]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("online_dpp", "there is no method 'online_dpp'; did you mean 'online_dpo'?"),
            ("best_rndom", "did you mean 'best_random'?"),
            ("online_dpo,dpo,online_dpo", "got 'online_dpo' twice"),
            ("", "there is no method ''"),
        ],
    )
    def test_what_is_no_method_is_refused(self, text: str, says: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(says)):
            read_methods(text)

    def test_folders_have_no_characters_that_trip_a_shell(self) -> None:
        assert as_folder("a:learn.loss={name: ipo, beta: 1}") == "a-learn.loss=-name-ipo,-beta-1"


class TestLabels:
    """Equal labels, in rounds as large as the method makes them."""

    @pytest.mark.parametrize(
        ("recipe", "labels", "rounds", "prompts"),
        [
            ("online_dpo", 1536, 12, 128),
            ("iterative_dpo", 1536, 3, 512),
            ("online_dpo", 640, 5, 128),
            ("online_dpo", 1000, 8, 125),
            ("iterative_dpo", 1000, 2, 500),
            ("online_dpo", 64, 1, 64),
            ("online_dpo", 7, 1, 7),
        ],
    )
    def test_rounds_follow_from_labels(self, recipe, labels, rounds, prompts) -> None:
        found = rounds_for(config(recipe), labels)
        assert found == {"rounds": rounds, "sample.prompts": prompts}
        assert rounds * prompts == labels

    def test_with_fewer_labels_than_prompts_the_proportion_stays(self) -> None:
        """Two prompts a label, as the method has it."""
        chosen = config(**{"sample.prompts": 64, "ask.labels": 32})
        assert rounds_for(chosen, 96) == {"rounds": 3, "sample.prompts": 64, "ask.labels": 32}

    def test_rounds_that_were_set_stand(self) -> None:
        assert rounds_for(config(rounds=6), 60) == {"rounds": 6, "sample.prompts": 10}

    @pytest.mark.parametrize(
        ("settings", "labels", "says"),
        [
            ({"sample.prompts": 30}, 100, "cannot be spent in rounds of 30"),
            ({"rounds": 7}, 100, "100 labels cannot be spent"),
            ({"rounds": 5, "sample.prompts": 10}, 100, "cannot be spent in rounds of 10"),
            ({"sample.prompts": None}, 100, "sample.prompts=null"),
            ({}, 1543, "1543 labels cannot be cut into equal rounds of about 128; 1536 can"),
        ],
    )
    def test_what_does_not_come_out_even_is_refused(self, settings, labels, says) -> None:
        with pytest.raises(ConfigError, match=re.escape(says)):
            rounds_for(config(**settings), labels)

    @pytest.mark.parametrize("recipe", ["dpo", "sft"])
    def test_a_recipe_that_asks_nobody_is_refused(self, recipe: str) -> None:
        with pytest.raises(ConfigError, match="has 0 phases that ask"):
            rounds_for(config(recipe, **{"data.preferences": "x", "data.completions": "x"}), 100)

    @pytest.mark.parametrize("recipe", ["ppo", "raft", "rso", "rlp_spg", "rlp_uml"])
    def test_a_reward_model_gets_them_all_at_once_and_what_it_says_is_no_label(
        self, recipe: str
    ) -> None:
        """The rounds that climb it stay as many as they are."""
        assert rounds_for(config(recipe, rounds=3), 100) == {"ask.labels": 100}

    def test_a_recipe_that_asks_in_two_phases_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="iterated_rlhf has 2 phases that ask for labels"):
            rounds_for(config("iterated_rlhf"), 100)

    def test_a_phase_that_reads_a_file_is_not_counted(self) -> None:
        found = rounds_for(config("hybrid", **{"data.preferences": "x"}), 256)
        assert found["rounds"] * found["sample.prompts"] == 256


class TestGrid:
    """What is tried."""

    def test_a_factor_is_of_the_methods_own_value(self) -> None:
        found = crossed(config(**{"learn.lr": 2e-5}), [read_axis("learn.lr=0.5x,1x,3e-5")])
        assert [point["learn.lr"] for point in found.values()] == [1e-5, 2e-5, 3e-5]

    def test_the_own_value_is_the_recipes_where_the_user_set_none(self) -> None:
        (own,) = crossed(config(), [read_axis("learn.lr=1x")]).values()
        assert own["learn.lr"] == phases_of(config())[-1].config.learn.lr

    def test_a_parts_option_is_its_default_where_nobody_set_it(self) -> None:
        chosen = config(**{"learn.loss": "ipo"})
        assert [*crossed(chosen, [read_axis("learn.loss.beta=2x")]).values()] == [
            {"learn.loss.beta": 0.2}
        ]

    def test_several_axes_are_crossed(self) -> None:
        axes = [read_axis("learn.lr=1e-5,2e-5"), read_axis("learn.epochs=1,2,3")]
        assert len(crossed(config(), axes)) == 6

    def test_every_method_gets_the_same_number_of_points_with_a_bonus_or_without(self) -> None:
        without = around(config())
        bonus = around(config(**{"learn.bonus": {"name": "sft", "alpha": 0.01}}))
        assert len(without) == len(bonus) == 5
        assert [*bonus.values()][3:] == [{"learn.bonus.alpha": 0.001}, {"learn.bonus.alpha": 0.1}]
        rates = [point.get("learn.lr", 1.05e-4) / 1.05e-4 for point in without.values()]
        assert rates == pytest.approx([1, 0.5, 2, 0.7, 1.4])

    def test_a_factor_of_what_is_no_number_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="needs a number to multiply"):
            crossed(config(), [read_axis("learn.data=2x")])

    @pytest.mark.parametrize("text", ["learn.lr", "learn.lr="])
    def test_a_grid_without_values_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match=re.escape("looks like learn.lr=0.5x,1x,2x")):
            read_axis(text)


def request(methods: str = "online_dpo", **changes: Any) -> Request:
    usual: dict[str, Any] = {"labels": 256, "settings": {}}
    return Request(methods=read_methods(methods), **{**usual, **changes})


class TestPlan:
    """The runs."""

    def test_tuning_seeds_are_never_reported(self, tmp_path: Path) -> None:
        plan = Plan.of(request(seeds=3, tune_seeds=2), tmp_path)
        assert {job.seed for job in plan.trials} == {TUNING, TUNING + 1}
        assert [job.seed for job in plan.reported({"online_dpo": "own"})] == [0, 1, 2]
        assert len(plan.trials) == 5 * 2

    def test_no_two_runs_share_a_folder(self, tmp_path: Path) -> None:
        methods = "online_dpo,best_random,online_dpo:learn.loss=ipo"
        plan = Plan.of(request(methods), tmp_path)
        picks = dict.fromkeys(methods.split(","), "own")
        folders = [job.folder for job in [*plan.trials, *plan.reported(picks)]]
        assert len(set(folders)) == len(folders) == 3 * 5 + 3 * 5

    def test_what_a_method_sets_comes_before_what_is_set_for_all(self, tmp_path: Path) -> None:
        plan = Plan.of(
            request("online_dpo:learn.lr=0.25,best_random", settings={"learn.lr": 0.5}), tmp_path
        )
        assert [entry.config.learn.lr for entry in plan.entries] == [0.25, 0.5]

    def test_every_run_has_one_thread_unless_it_is_said_otherwise(self, tmp_path: Path) -> None:
        (entry,) = Plan.of(request(), tmp_path).entries
        (freer,) = Plan.of(request(settings={"model.threads": 2}), tmp_path).entries
        assert (entry.config.model.threads, freer.config.model.threads) == (1, 2)

    def test_the_styled_testbed_rewards_and_labels_by_the_style_and_ranks_without_it(
        self, tmp_path: Path
    ) -> None:
        (entry,) = Plan.of(request(testbed="styled"), tmp_path).entries
        (phase,) = phases_of(entry.config)
        assert phase.config.measure.gold.name == "styled"
        assert phase.config.ask.oracle.options["scorer"] == "styled"
        assert phase.config.explore.scorer.name == "proxy"
        assert "style" in [judge.name for judge in phase.config.measure.judges]

    def test_methods_that_draw_by_other_laws_are_pointed_out(self, tmp_path: Path) -> None:
        other = "online_dpo,best_random:sample.top_p=1"
        (note,) = Plan.of(request(other), tmp_path).notes
        assert "online_dpo: temperature 1, top-p 0.95; best_random:sample.top_p=1: " in note
        assert Plan.of(request("online_dpo,best_random"), tmp_path).notes == []
        alike = request(other, settings={"sample.top_p": 1})
        assert Plan.of(alike, tmp_path).notes == []

    @pytest.mark.parametrize("testbed", TESTBEDS)
    def test_testbeds_differ_in_nothing_but_the_truth(self, testbed: str, tmp_path: Path) -> None:
        plain, this = (
            phases_of(Plan.of(request(testbed=name), tmp_path).entries[0].config)[0].config
            for name in ("plain", testbed)
        )
        assert this.override({"ask.oracle": None, "measure": {}}) == plain.override(
            {"ask.oracle": None, "measure": {}}
        )

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"labels": 0}, "labels must be at least 1, got 0"),
            ({"seeds": 0}, "seeds must be at least 1, got 0"),
            ({"seeds": 1001}, "seeds must be at most 1000"),
            ({"tune_seeds": -1}, "tune_seeds must be at least 0"),
            ({"settings": {"seed": 3}}, "seed is the comparison's to set"),
            ({"tune_seeds": 0, "grid": [read_axis("learn.lr=1x")]}, "would be ignored"),
            ({"testbed": "stiled"}, "testbed must be one of plain, styled"),
            ({"testbed": "styled", "settings": {"model.path": "x"}}, "embedded model"),
            ({"settings": {"model.path": "x"}}, "needs data.prompts"),
            ({"settings": {"model.path": "x", "data.prompts": "y", "ask.oracle": "vader"}}, "gold"),
            ({"settings": {"learn.lrr": 1}}, "did you mean 'lr'?"),
            ({"grid": [read_axis("learn.lr=-1")]}, "learn.lr"),
        ],
    )
    def test_mistakes_are_found_before_anything_runs(self, changes, says, tmp_path) -> None:
        with pytest.raises(ConfigError, match=re.escape(says)):
            Plan.of(request(**changes), tmp_path)
        assert not list(tmp_path.iterdir())

    def test_a_damaged_plan_is_refused(self, tmp_path: Path) -> None:
        plan = Plan.of(request(), tmp_path)
        plan.commit()
        plan.commit()
        (tmp_path / "comparison.yaml").write_text("half of")
        with pytest.raises(FolderError, match="is damaged"):
            plan.commit()
