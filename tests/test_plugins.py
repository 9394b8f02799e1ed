"""A plug-in is a file; the file's name is its name."""

import textwrap

import pytest

from prefloop import plugins
from prefloop.features.lsa import Lsa
from prefloop.losses.dpo import dpo
from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.oracles.noisy import Noisy
from prefloop.oracles.sentiment import Sentiment
from worlds import Lengths, longer_is_better


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty package of plug-ins: write(kind, name, source) adds one."""
    monkeypatch.setattr(plugins, "HERE", tmp_path)
    plugins.card.cache_clear()

    def write(kind, name, source):
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")

    yield write
    plugins.card.cache_clear()


class TestNames:
    def test_every_file_is_one(self, folder):
        folder("losses", "squared", "def squared(y): ...")
        folder("losses", "_helper", "def helper(): ...")
        assert plugins.names("losses") == ["squared"]
        assert plugins.names("bonuses") == []

    def test_the_parts_of_this_package_are_there(self):
        assert {"dpo", "ipo", "hinge", "slic", "sft"} <= set(plugins.names("losses"))
        assert {"on_policy", "best_worst", "best_random"} <= set(plugins.names("explore"))
        assert {"bradley_terry", "reward_model", "function"} <= set(plugins.names("oracles"))

    def test_an_alias_is_as_good_as_the_name(self):
        assert plugins.find("losses", "sigmoid") is plugins.find("losses", "dpo") is dpo

    def test_a_typo_is_told_what_was_meant(self):
        with pytest.raises(
            LookupError, match=r"losses/ has no 'hinje'; did you mean 'hinge'\? It has: .*dpo"
        ):
            plugins.find("losses", "hinje")

    def test_a_name_unlike_any_is_told_what_there_is(self):
        with pytest.raises(LookupError, match=r"explore/ has no 'zzz'\. It has: apl, best_random"):
            plugins.resolve("explore", "zzz")


class TestCards:
    def test_options_are_read_without_importing(self, folder):
        folder(
            "losses",
            "odd",
            '''
            import no_such_module

            aliases = ("strange",)
            needs = ("target",)

            def odd(y, *, beta: float = 0.1, how: str = "well"):
                """It is odd.

                And more.
                """
            ''',
        )
        card = plugins.card("losses", "odd")
        assert card.summary == "It is odd."
        assert card.options == {"beta": "0.1", "how": "'well'"}
        assert (card.aliases, card.needs) == (("strange",), ("target",))

    def test_a_classs_options_are_its_public_fields(self):
        assert plugins.card("oracles", "bradley_terry").options == {
            "scorer": "",
            "scale": "1.0",
            "labels": "'sampled'",
            "seed": "0",
        }
        assert plugins.card("oracles", "budget").options == {
            "inner": "",
            "limit": "",
            "spent": "0.0",
        }

    @pytest.mark.parametrize("source", ["x = 1", "def f(): ...\ndef g(): ..."])
    def test_a_file_defines_one_public_thing(self, folder, source):
        folder("losses", "many", source)
        with pytest.raises(LookupError, match=r"losses/many.py must define one public name, not"):
            plugins.card("losses", "many")


class TestCheck:
    def test_a_wrong_option_is_told_what_was_meant(self):
        with pytest.raises(
            ValueError,
            match=r"losses/ipo has no option 'betta'; did you mean 'beta'\? Its options: beta, ",
        ):
            plugins.check("losses", "ipo", {"betta": 1})

    def test_a_part_without_options_says_so(self):
        with pytest.raises(ValueError, match=r"has no option 'k'\. Its options: none"):
            plugins.check("explore", "on_policy", {"k": 1})

    def test_the_options_of_your_own_things_are_yours(self):
        plugins.check("oracles", "mine:judge", {"anything": 1})


class TestBuild:
    def test_a_function_gets_its_options_bound(self):
        assert plugins.build("losses", "dpo", {}) is dpo
        bound = plugins.build("losses", "dpo", {"beta": 0.5})
        assert bound.func is dpo and bound.keywords == {"beta": 0.5}

    def test_nested_parts_are_built_first(self):
        built = plugins.build(
            "oracles",
            "noisy",
            {"rate": 0.2, "inner": {"name": "bradley_terry", "scorer": "sentiment", "scale": 2}},
        )
        inner = BradleyTerry(scorer=Sentiment(), scale=2.0)
        assert built == Noisy(inner=inner, rate=0.2)

    def test_features_are_parts_too(self):
        cosine = plugins.build("clusters", "cosine", {"features": {"name": "lsa"}})
        assert cosine.features == Lsa()
        with pytest.raises(LookupError, match=r"features/ has no 'lsi'; did you mean 'lsa'\?"):
            plugins.build("clusters", "cosine", {"features": "lsi"})

    def test_a_part_that_is_built_already_is_taken_as_it_is(self):
        scorer = Lengths()
        assert plugins.build("oracles", "bradley_terry", {"scorer": scorer}).scorer is scorer

    def test_the_runs_seed_reaches_every_level_unless_it_was_set(self):
        inner = {"name": "bradley_terry", "scorer": "sentiment"}
        built = plugins.build("oracles", "noisy", {"seed": 1, "inner": inner}, seed=5, device="cpu")
        assert (built.seed, built.inner.seed) == (1, 5)

    def test_a_whole_number_is_a_real_one_where_one_is_wanted(self):
        scale = plugins.build("oracles", "bradley_terry", {"scorer": "sentiment", "scale": 2}).scale
        assert scale == 2 and type(scale) is float

    @pytest.mark.parametrize(
        ("kind", "name", "options", "message"),
        [
            (
                "losses",
                "ipo",
                {"beta": "much"},
                r"ipo.beta: Input should be a valid number.*'much'",
            ),
            ("oracles", "bradley_terry", {"labels": "soft"}, r"labels: .*'sampled'.*, got 'soft'"),
            (
                "oracles",
                "noisy",
                {"inner": {"rate": 1}},
                r"noisy.inner needs the name of a part, got",
            ),
            (
                "oracles",
                "budget",
                {"limit": 3},
                r"oracles/budget needs inner; write {name: budget, i",
            ),
            ("oracles", "bradley_terry", {"scorer": "sentimnt"}, r"did you mean 'sentiment'"),
            ("oracles", "noisy", {"inner": "bradley_terry", "rat": 1}, r"did you mean 'rate'"),
        ],
    )
    def test_mistakes_are_named(self, kind, name, options, message):
        with pytest.raises((ValueError, LookupError), match=message):
            plugins.build(kind, name, options)


def test_your_own_things_are_loaded_by_module_and_name():
    assert plugins.load("worlds:longer_is_better") is longer_is_better


def test_what_cannot_be_loaded_says_why():
    with pytest.raises(
        LookupError, match=r"cannot load 'worlds:nothing': .*write it as module:funct"
    ):
        plugins.load("worlds:nothing")
