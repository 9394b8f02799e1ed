"""The whole command on a tiny model: what is done once is not done again."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from typer.testing import CliRunner

import inside
import small
from prefloop.cli import app
from prefloop.compare.methods import read_methods
from prefloop.config import ConfigError, Part
from prefloop.overoptimize import analysis, draws, main, ngrams, policies, proxies
from prefloop.overoptimize.draws import Draws
from prefloop.overoptimize.proxies import Trained
from prefloop.overoptimize.request import Proxy, Request, read_proxies, read_proxy
from prefloop.runs.generating import Request as Wish
from prefloop.testbed.classifier import Classifier
from prefloop.types import Prompt, Response

SCORERS = """
def letters(responses):
    return [float(sum(map(ord, r.text))) for r in responses]

def length(responses):
    return [float(len(r.text)) for r in responses]
"""
SETTINGS = {
    "model.path": "model",
    "data.prompts": "prompts.jsonl",
    "data.eval_prompts": "held.jsonl",
    "measure.gold": "scorers_of_tests:letters",
    "sample.max_new_tokens": 8,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("overoptimize")
    small.llama(found / "model")
    for name, prompts in (("prompts", small.PROMPTS), ("held", small.HELD)):
        rows = "".join(json.dumps({"prompt": p}) + "\n" for p in prompts)
        (found / f"{name}.jsonl").write_text(rows)
    (found / "scorers_of_tests.py").write_text(SCORERS)
    return found


@pytest.fixture
def inside_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def request(**asked: Any) -> Request:
    given = {
        "proxies": read_proxies("classifier@6,scorers_of_tests:length"),
        "samples": 8,
        "prompts": 3,
        "seeds": 2,
        "settings": SETTINGS,
    }
    return Request(**{**given, **asked})


@pytest.mark.usefixtures("inside_place")
class TestStages:
    def test_it_ends_with_a_table_results_and_a_drawing(self, tmp_path: Path) -> None:
        found = main.overoptimize(request(), tmp_path, say=lambda line: None)
        assert [one.proxy for one in found.chosen] == ["classifier@6", "scorers_of_tests:length"]
        assert found.chosen[0].counts == (1, 2, 4, 8)
        gold = np.load(tmp_path / "scores" / "gold.npy")
        assert found.gold_unit == pytest.approx(gold.var(axis=1, ddof=1).mean() ** 0.5)
        one, other = (np.load(tmp_path / "scores" / f"classifier-6-seed-{s}.npy") for s in (0, 1))
        assert one.shape == gold.shape == (3, 8) and (one != other).any()
        data = json.loads((tmp_path / "results.json").read_text())
        assert data["best_of"][0]["gold_gain"] == pytest.approx(found.chosen[0].gold_gain)
        assert "classifier@6" in (tmp_path / "table.md").read_text()
        assert (tmp_path / "overoptimization.svg").stat().st_size > 5000
        assert len(list((tmp_path / "proxies" / "classifier-6").glob("*.safetensors"))) == 2

    def test_samples_and_the_pairs_of_each_seed_are_drawn_apart_by_one_law(
        self, tmp_path: Path
    ) -> None:
        wishes: list[Wish] = []

        def drawn(wish: Wish, path: Path, told: Any) -> Draws:
            wishes.append(wish)
            return Draws(responses=[], each=wish.n)

        asked = request(settings={**SETTINGS, "sample.temperature": 0.7, "sample.top_p": 0.9})
        with patch.object(draws, "_drawn", drawn):
            draws.samples(asked, tmp_path, print)
            for seed in range(2):
                draws.comparisons(asked, seed, 6, tmp_path, print)
        assert len({wish.seed for wish in wishes}) == 3
        assert {(w.temperature, w.top_p, w.max_new_tokens) for w in wishes} == {(0.7, 0.9, 8)}
        assert [(w.prompts, w.n, w.limit) for w in wishes] == [
            ("held.jsonl", 8, 3),
            ("prompts.jsonl", 2, 6),
            ("prompts.jsonl", 2, 6),
        ]

    def test_pairs_beyond_the_prompts_there_are_go_round_again(self, tmp_path: Path) -> None:
        """Eight prompts, thirteen pairs: two of each of seven, but for the last."""
        found = draws.comparisons(request(), 0, 13, tmp_path, lambda done, total: None)
        asked = [r.prompt.text for r in found.responses]
        assert found.each == 2
        assert asked[::2] == asked[1::2]
        assert asked == [p for p in small.PROMPTS[:7] for _ in range(4)][:26]

    def test_accurate_is_as_accurate_as_was_asked(self, tmp_path: Path) -> None:
        found = {}
        for threshold in (0.51, 0.99):
            asked = request(threshold=threshold, proxies=read_proxies("scorers_of_tests:length"))
            with patch.object(analysis, "chosen", wraps=analysis.chosen) as chosen:
                outcome = main.overoptimize(asked, tmp_path, say=lambda line: None)
            assert chosen.call_args.args[-1] == outcome.threshold == threshold
            found[threshold] = outcome.chosen[0].accurate.value
        assert found[0.99] <= found[0.51]

    def test_again_draws_fits_and_scores_nothing(self, tmp_path: Path) -> None:
        first = main.overoptimize(request(), tmp_path, say=lambda line: None)
        with (
            patch.object(draws, "generate", side_effect=AssertionError),
            patch.object(ngrams, "fit", side_effect=AssertionError),
        ):
            again = main.overoptimize(request(), tmp_path, say=lambda line: None)
            more = request(proxies=read_proxies("scorers_of_tests:letters"))
            added = main.overoptimize(more, tmp_path, say=lambda line: None)
        assert again == first
        assert added.chosen[0].correlation == pytest.approx(1)

    def test_other_samples_in_the_same_folder_are_refused(self, tmp_path: Path) -> None:
        main.overoptimize(request(), tmp_path, say=lambda line: None)
        with pytest.raises(ConfigError, match="samples: was 8, now 16"):
            main.overoptimize(request(samples=16), tmp_path, say=lambda line: None)
        other = request(settings={**SETTINGS, "sample.temperature": 0.5})
        other_reward = request(settings={**SETTINGS, "reward.epochs": 7})
        for changed in (other, other_reward):
            with pytest.raises(ConfigError, match="settings: was"):
                main.overoptimize(changed, tmp_path, say=lambda line: None)

    def test_policies_may_be_added_and_not_changed(self, tmp_path: Path) -> None:
        def asked(policies: str, **changes: Any) -> Request:
            return request(policies=read_methods(policies), settings={**SETTINGS, **changes})

        with inside.started_here() as starter:
            for wish in (asked("dpo"), asked("online_dpo", rounds=3), asked("dpo")):
                main.overoptimize(wish, tmp_path, say=lambda line: None)
            assert len(starter.started) == 2 * 2 * 2, "no run is made twice"
            with pytest.raises(ConfigError, match="policy online_dpo: was"):
                main.overoptimize(asked("online_dpo", rounds=4), tmp_path)
        (tmp_path / "overoptimization.json").write_text("[")
        with pytest.raises(ConfigError, match="is damaged"):
            main.overoptimize(request(), tmp_path)

    def test_policies_are_runs_against_every_proxy_and_seed(self, tmp_path: Path) -> None:
        asked = request(policies=read_methods("online_dpo,dpo"))
        with inside.started_here() as starter:
            found = main.overoptimize(asked, tmp_path, say=lambda line: None)
        assert len(starter.started) == 2 * 2 * 2
        for job in starter.started:
            scorer = job.config.explore.scorer
            trained = job.point == "classifier@6"
            assert scorer.name == ("proxy" if trained else "scorers_of_tests:length")
            if trained:
                assert scorer.options["path"].endswith(f"seed-{job.seed}.safetensors")
            assert job.config.measure.gold.name == "scorers_of_tests:letters"
            assert job.config.seed == job.seed
            if job.method == "online_dpo":
                assert job.config.ask.oracle.options["scorer"]["name"] == scorer.name
        online = next(j for j in starter.started if j.method == "online_dpo")
        assert online.config.ask.oracle.options["labels"] == "thresholded"
        assert online.config.data.preferences is None
        offline = next(j for j in starter.started if j.method == "dpo")
        assert Path(offline.config.data.preferences).exists()
        assert [(c.policy, len(c.runs)) for c in found.climbed] == [
            ("online_dpo", 2),
            ("online_dpo", 2),
            ("dpo", 2),
            ("dpo", 2),
        ]

    def test_a_run_that_fails_is_told_and_the_others_stand(self, tmp_path: Path) -> None:
        asked = request(policies=read_methods("online_dpo"))
        with inside.started_here(breaks={("online_dpo", 1): "no memory"}):
            found = main.overoptimize(asked, tmp_path, say=lambda line: None)
        assert [sorted(one.runs) for one in found.climbed] == [[0], [0]]
        assert found.climbed[0].failed == {"seed 1": "no memory"}
        assert "no memory" in (tmp_path / "table.md").read_text()

    def test_a_reward_model_is_trained_by_a_run_of_its_own(self, tmp_path: Path) -> None:
        asked = request(proxies=read_proxies("reward/1@6"), seeds=1)
        job = proxies.reward_job(asked, asked.proxies[0], 3, tmp_path)
        assert job.config.seed == 3
        assert job.config.ask.oracle.options["scorer"]["name"] == SETTINGS["measure.gold"]
        assert job.config.recipe == "ppo" and job.config.ask.labels == 6
        assert job.config.ask.oracle.options["labels"] == "thresholded"
        shape = json.loads((tmp_path / "proxies" / "1-layers" / "config.json").read_text())
        assert shape["num_hidden_layers"] == 1
        with (
            inside.started_here(breaks={("reward/1@6", 0): "no head"}),
            pytest.raises(ConfigError, match="reward/1@6, seed 0 could not be trained: no head"),
        ):
            main.overoptimize(asked, tmp_path, say=lambda line: None)

    def test_the_command_prints_the_table(self, tmp_path: Path) -> None:
        words = ["--samples", "8", "--prompts", "3", "--seeds", "1", "--threshold", "0.6"]
        words += ["--proxies", "scorers_of_tests:length", "--out", str(tmp_path)]
        settings = [f"{key}={value}" for key, value in SETTINGS.items()]
        result = CliRunner().invoke(app, ["overoptimize", *settings, *words])
        assert result.exit_code == 0, result.output
        assert "table, results and drawing" in result.output
        dry = CliRunner().invoke(app, ["overoptimize", *settings, *words, "--dry-run"])
        assert "8 samples to each of 3 prompts" in dry.output


def test_a_classifier_learns_what_gold_prefers_in_as_many_pairs_as_it_has_labels(
    tmp_path: Path,
) -> None:
    """A tie of gold is no label; scores are in units of the samples it learned from."""
    texts = [" bad film", " good film", " tie", " too", " good cast", " bad cast", " good", " bad"]
    responses = [Response(prompt=Prompt(text="a film"), text=text) for text in texts]
    pool = lambda seed: Draws(responses=responses, each=2)
    proxy, gold = Proxy(name="classifier@2", kind="classifier", labels=2), small.Share(letters="g")
    with patch.object(ngrams, "fit", wraps=ngrams.fit) as fit:
        found = proxies.classifier(proxy, 3, pool, gold, tmp_path)
    (chosen, p), _ = fit.call_args
    full = [responses[i].full_text for i in (0, 1, 4, 5)]
    assert (chosen, p) == ([(full[0], full[1]), (full[2], full[3])], [0.0, 1.0])
    scores = Classifier.read(Path(found.part.options["path"])).log_odds(full)
    assert (scores.mean(), scores.std()) == pytest.approx((0, 1), abs=1e-5)
    assert (np.sign(scores) == [-1, 1, 1, -1]).all()


def test_a_classifier_is_not_trained_on_fewer_labels_than_it_is_named_for(tmp_path: Path) -> None:
    prompt = Prompt(text="a film")
    pairs = [Response(prompt=prompt, text=t) for t in (" good", " bad", " tie", " too")]
    proxy, gold = Proxy(name="classifier@2", kind="classifier", labels=2), small.Share(letters="g")
    with pytest.raises(ConfigError, match=r"2 labels, .* favourite in 1 of 2 pairs; ask for fewer"):
        proxies.classifier(proxy, 3, lambda seed: Draws(responses=pairs, each=2), gold, tmp_path)
    assert not list(tmp_path.iterdir())


def test_points_are_gains_over_the_first_measurement_at_the_root_of_kl() -> None:
    """An estimate below zero is zero; a round that was not measured is left out."""
    names = ("kl", "proxy_reward_mean", "gold_reward_mean")
    rows = [
        dict(zip(names, row, strict=True))
        for row in ((-0.1, 1.0, 5.0), (None, 9.0, 9.0), (4.0, 3.0, 4.0))
    ]
    assert policies.points(rows) == ([0.0, 2.0], [0.0, 2.0], [0.0, -1.0])
    assert policies.points(rows[1:2]) == ([], [], [])


def test_a_proxys_pairs_are_in_its_order_and_ties_are_left_out(tmp_path: Path) -> None:
    prompt = Prompt(text="a film")
    texts = [" long one", " short", " same", " size", " x", "  "]
    pairs = Draws(responses=[Response(prompt=prompt, text=t) for t in texts], each=2)
    climbed = Trained(
        proxy=Proxy(name="vader"), seed=0, part=Part(name="function", target="builtins:len")
    )
    with patch.object(policies, "scorer") as built:
        built.return_value.score = lambda responses: [float(len(r.text)) for r in responses]
        rows = policies._pairs(climbed, pairs)
    assert rows == [{"prompt": "a film", "chosen": " long one", "rejected": " short"}]


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("classifier@64", Proxy(name="classifier@64", kind="classifier", labels=64)),
        ("reward@128", Proxy(name="reward@128", kind="reward", labels=128)),
        ("reward/2@9", Proxy(name="reward/2@9", kind="reward", labels=9, depth=2)),
        ("proxy", Proxy(name="proxy", part=Part(name="proxy"))),
    ],
)
def test_a_proxy_reads_as_it_is_written(text: str, proxy: Proxy) -> None:
    assert read_proxy(text) == proxy


def test_a_comma_inside_braces_belongs_to_the_option() -> None:
    found = read_proxies("proxy,{name: sentiment, length_normalize: true}")
    assert found[1].part == Part(name="sentiment", length_normalize=True)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"proxies": "classifier@1"}, "at least 2 labels"),
        ({"proxies": "classifier/2@64"}, "layers only if it is a reward model"),
        ({"proxies": "forest@64"}, "looks like classifier@256"),
        ({"proxies": "proxy,proxy"}, "got 'proxy' twice"),
        ({"proxies": "proxxy"}, "did you mean 'proxy'"),
        ({"samples": 2}, "samples must be at least 4, got 2"),
        ({"threshold": 0.4}, "between 0.5 and 1, got 0.4"),
        ({"settings": {"seed": 3}}, "seed is not a setting here"),
        ({"settings": {"model.path": "model", "data.prompts": "x"}}, "set measure.gold"),
        ({"settings": {"model.path": "model", "measure.gold": "vader"}}, "set data.prompts"),
    ],
    ids=lambda x: str(x)[:30],
)
def test_what_cannot_be_is_said_before_anything_is_drawn(asked: dict[str, Any], says: str) -> None:
    if "proxies" in asked:
        with pytest.raises(ConfigError, match=says):
            read_proxies(asked["proxies"])
        return
    with pytest.raises(ConfigError, match=says):
        Request(**{"proxies": read_proxies("proxy"), "settings": {}, **asked})


def test_workers_and_comparing_scorers_are_checked(tmp_path: Path) -> None:
    asked = Request(proxies=read_proxies("proxy"), settings={})
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        main.overoptimize(asked, tmp_path, workers=0)
    with pytest.raises(ConfigError, match="a proxy must score one"):
        draws.scorer(Part(name="bradley_terry", scorer="proxy"))
