"""The config: frozen sections, YAML in and out, dotted overrides, mistakes by name."""

import copy
from typing import ClassVar

import pytest

from prefloop import config
from prefloop.config import Config, ConfigError, Part, assignments, load, parse


class TestOverrides:
    def test_an_override_changes_one_value_and_leaves_the_original(self):
        before = Config()
        after = before.override({"learn.lr": 1e-4, "sample.prompts": 8})
        assert (after.learn.lr, after.sample.prompts) == (1e-4, 8)
        assert after.learn.batch == before.learn.batch
        assert before == Config()

    def test_a_part_by_name_loses_the_options_of_the_part_it_replaces(self):
        first = parse({"learn": {"loss": {"name": "dpo", "beta": 0.5}}})
        second = first.override({"learn.loss": "ipo"})
        assert (second.learn.loss.name, second.learn.loss.options) == ("ipo", {})

    def test_an_option_of_a_part_keeps_its_name_and_its_other_options(self):
        first = parse({"learn": {"loss": {"name": "ipo", "length_normalize": True}}})
        second = first.override({"learn.loss.beta": 0.5})
        assert second.learn.loss == Part(name="ipo", length_normalize=True, beta=0.5)

    def test_a_part_given_as_a_bare_name_may_gain_options(self):
        changed = parse({"learn": {"loss": "ipo"}}).override({"learn.loss.beta": 0.5})
        assert changed.learn.loss == Part(name="ipo", beta=0.5)

    def test_nested_parts_are_reached_by_dots(self):
        changed = Config().override(
            {"ask.oracle.name": "noisy", "ask.oracle.inner.name": "bradley_terry"}
        )
        assert changed.ask.oracle == Part(name="noisy", inner={"name": "bradley_terry"})

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1e-5", 1e-5),
            ("3", 3),
            ("-2", -2),
            ("0.1", 0.1),
            ("true", True),
            ("null", None),
            ("", None),
            ("cosine", "cosine"),
            ("{policy: 2, reference: 1}", {"policy": 2, "reference": 1}),
            ("a=b", "a=b"),
        ],
    )
    def test_the_command_lines_values_are_yaml(self, text, value):
        (found,) = assignments([f"some.key={text}"]).values()
        assert found == value and type(found) is type(value)

    def test_a_setting_without_a_value_is_refused(self):
        with pytest.raises(ConfigError, match=r"settings look like learn.lr=1e-5, got 'learn.lr'"):
            assignments(["learn.lr"])


class TestMistakes:
    @pytest.mark.parametrize(
        ("tree", "message"),
        [
            ({"lern": {}}, r"unknown setting 'lern'; did you mean 'learn'\? Valid here: recipe, "),
            ({"learn": {"lrr": 1}}, r"unknown setting 'learn.lrr'; did you mean 'lr'\? Valid here"),
            ({"learn": {"zzz": 1}}, r"unknown setting 'learn.zzz'\. Valid here: lr, epochs"),
            ({"learn": {"lr": "fast"}}, r"learn.lr: Input should be a valid number.*got 'fast'"),
            ({"learn": {"lr": -1.0}}, r"learn.lr: Input should be greater than 0, got -1.0"),
            ({"learn": {"batch": 2.5}}, r"learn.batch: .*integer.*got 2.5"),
            ({"learn": {"schedule": "cos"}}, r"learn.schedule: .*'cosine', got 'cos'"),
            ({"learn": 3}, r"learn: .*got 3"),
            ({"sample": {"sources": {"polcy": 2}}}, r"sample.sources.polcy.*'policy'.*got 'polcy'"),
            ({"learn": {"loss": "hinje"}}, r"losses/ has no 'hinje'; did you mean 'hinge'"),
            (
                {"learn": {"loss": {"name": "dpo", "bta": 1}}},
                r"no option 'bta'; did you mean 'beta'",
            ),
            ({"explore": {"rule": "best_wrst"}}, r"did you mean 'best_worst'"),
            ({"ask": {"oracle": "bradley"}}, r"oracles/ has no 'bradley'"),
            ({"measure": {"judges": ["vadr"]}}, r"did you mean 'vader'"),
        ],
    )
    def test_a_mistake_says_value_rule_and_the_nearest_name(self, tree, message):
        with pytest.raises(ConfigError, match=message):
            parse(tree)

    def test_all_mistakes_are_told_at_once(self):
        with pytest.raises(ConfigError) as error:
            parse({"learn": {"lr": -1, "epochs": 0}, "seed": "x"})
        assert all(name in str(error.value) for name in ("learn.lr", "learn.epochs", "seed"))

    @pytest.mark.parametrize(
        "path", ["learn.lr.x", "measure.judges.0", "learn.nothing.x", "seed.y"]
    )
    def test_a_dotted_name_that_leads_nowhere_is_an_error_of_the_config(self, path):
        with pytest.raises(ConfigError):
            parse({"learn": {"lr": 1e-3}, "measure": {"judges": ["vader"]}, "seed": 1}).override(
                {path: 1}
            )

    def test_settings_cannot_be_changed_in_place(self):
        with pytest.raises(ValueError, match="frozen"):
            Config().learn.lr = 1.0


class TestYaml:
    def test_what_is_written_is_what_is_read(self, tmp_path):
        first = parse(
            {
                "recipe": "online_dpo",
                "learn": {"loss": {"name": "ipo", "beta": 0.2}, "lr": 3e-5},
                "sample": {"sources": {"policy": 2, "reference": 1}},
                "ask": {"oracle": {"name": "noisy", "inner": {"name": "bradley_terry"}}},
                "measure": {"gold": "sentiment", "judges": ["vader"]},
            }
        )
        file = tmp_path / "config.yaml"
        file.write_text(first.yaml(), encoding="utf-8")
        assert load(file) == first
        assert load(file).yaml() == first.yaml()

    def test_settings_on_the_command_line_win_over_the_file(self, tmp_path):
        file = tmp_path / "config.yaml"
        file.write_text("learn:\n  lr: 1.0e-3\n  batch: 8\n", encoding="utf-8")
        found = load(file, ["learn.lr=1e-4"])
        assert (found.learn.lr, found.learn.batch) == (1e-4, 8)

    def test_an_empty_file_is_the_default(self, tmp_path):
        (tmp_path / "config.yaml").write_text("# nothing\n", encoding="utf-8")
        assert load(tmp_path / "config.yaml") == Config()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("learn: [", r"config.yaml is not YAML: "),
            ("- 1\n- 2", r"must hold settings by name, got list"),
        ],
    )
    def test_a_file_that_holds_no_settings_is_named(self, tmp_path, text, message):
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            load(file)


class TestRecipeDefaults:
    DEFAULTS: ClassVar = {
        "learn.loss": {"name": "ipo", "beta": 0.2, "length_normalize": True},
        "learn.lr": 1e-3,
    }

    def test_a_recipe_fills_what_the_user_left_unset(self):
        found = parse({"learn": {"batch": 4}}).with_defaults(self.DEFAULTS)
        assert (found.learn.lr, found.learn.batch) == (1e-3, 4)
        assert found.learn.loss == Part(name="ipo", beta=0.2, length_normalize=True)

    def test_what_the_user_set_stays_even_when_it_is_the_packages_default(self):
        default = Config().learn.lr
        found = parse({"learn": {"lr": default}}).with_defaults(self.DEFAULTS)
        assert found.learn.lr == default

    def test_an_option_without_a_name_belongs_to_the_recipes_part(self):
        found = parse({"learn": {"loss": {"beta": 0.9}}}).with_defaults(self.DEFAULTS)
        assert found.learn.loss == Part(name="ipo", beta=0.9, length_normalize=True)

    def test_so_does_an_option_of_the_same_part_by_name(self):
        found = parse({"learn": {"loss": {"name": "ipo", "beta": 0.9}}})
        assert found.with_defaults(self.DEFAULTS).learn.loss == Part(
            name="ipo", beta=0.9, length_normalize=True
        )

    def test_another_part_gets_none_of_the_recipes_options(self):
        found = parse({"learn": {"loss": "dpo"}}).with_defaults(self.DEFAULTS)
        assert found.learn.loss == Part(name="dpo")

    def test_without_a_recipes_part_the_packages_own_is_meant(self):
        found = parse({"learn": {"loss": {"beta": 0.9}}}).with_defaults({})
        assert found.learn.loss == Part(name="dpo", beta=0.9)

    def test_an_option_that_the_recipes_part_does_not_have_is_an_error(self):
        mistaken = parse({"learn": {"loss": {"delta": 1.0}}})
        with pytest.raises(ConfigError, match=r"losses/ipo has no option 'delta'"):
            mistaken.with_defaults(self.DEFAULTS)

    def test_filling_leaves_the_defaults_as_they_were(self):
        before = copy.deepcopy(config._PART_DEFAULTS)
        Config().with_defaults({"learn.loss.beta": 0.7})
        assert before == config._PART_DEFAULTS
        assert Config().with_defaults({}).learn.loss == Part(name="dpo")

    def test_later_settings_still_win(self):
        found = Config().with_defaults(self.DEFAULTS).override({"learn.lr": 5e-4})
        assert found.learn.lr == 5e-4
