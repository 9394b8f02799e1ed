"""Ridge heads from ratings: the right minimum, a ridge that fits, and what is refused."""

import json
from math import nan

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.linear_model import Ridge
from test_reward_cli import invoke, written

import small
from prefloop.oracles.feature_head import FeatureHead
from prefloop.rewarding.attributes import RIDGES, _attribute, ridge
from prefloop.rewarding.heads import folds
from worlds import response


def world(rows: int, noise: float, width: int = 6, seed: int = 0):
    """Features, ratings that are linear in them but for noise, a quarter of them missing."""
    draw = np.random.default_rng(seed)
    x, true = draw.normal(size=(rows, width)), draw.normal(size=width)
    y = x @ true * (noise < 1) + noise * draw.normal(size=rows)
    y[draw.uniform(size=rows) < 0.25] = nan
    return x, y, true


@pytest.mark.parametrize("penalty", [1e-4, 1.0, 1e4])
def test_it_is_sklearns_ridge_without_intercept_on_the_rows_with_a_rating(penalty):
    x, y, _ = world(50, 0.3)
    known = ~np.isnan(y)
    twin = Ridge(alpha=penalty, fit_intercept=False).fit(x[known], y[known])
    np.testing.assert_allclose(ridge(x, y, penalty), twin.coef_, atol=1e-8)


@pytest.mark.parametrize(("noise", "wanted"), [(0.0, min(RIDGES)), (1.0, max(RIDGES))])
def test_the_ridge_is_small_where_features_tell_all_and_large_where_they_tell_nothing(
    noise, wanted
):
    x, y, true = world(60, noise)
    weight, told = _attribute(x, y, folds([f"q{i}" for i in range(60)], 0), 0)
    assert told["ridge"] == wanted and told["ratings"] == (~np.isnan(y)).sum()
    if noise == 0:
        np.testing.assert_allclose(weight, true, atol=1e-4)
        assert told["explained"] == pytest.approx(1, abs=1e-6)


def test_prompts_are_not_split_and_folds_are_even():
    prompts = [f"q{i // 3}" for i in range(60)]
    whose = folds(prompts, 0)
    assert all(len({*whose[3 * i : 3 * i + 3]}) == 1 for i in range(20))
    assert [*np.bincount(whose)] == [15] * 4


def rated() -> list[dict]:
    """Two attributes of a film: is it good, and is it funny? Some nobody asked about."""
    words = [(" a wonderful", 1.0), (" a dreadful", 0.0)], [(" comedy", 1.0), (" thriller", 0.0)]
    return [
        {"prompt": f"the {thing} is", "completion": a + b, "values": [x, None if i % 3 else y]}
        for i, thing in enumerate(small.THINGS)
        for a, x in words[0]
        for b, y in words[1]
    ]


def test_the_folder_has_a_row_an_attribute_and_is_an_ordinary_scorer(tmp_path):
    path, out = written(tmp_path / "r.jsonl", rated()), tmp_path / "heads"
    words = ("train", "--from", path, "--backbone", "lsa", "--out", str(out))
    invoke(*words, "reward.loss=regression", "reward.heads=2", "reward.holdout=0.2")
    assert load_file(out / "head.safetensors")["weight"].shape == (2, 192)
    report = json.loads((out / "training.json").read_text())
    assert report["attributes"][1]["ratings"] < report["attributes"][0]["ratings"]
    heads = FeatureHead(path=str(out))
    texts = [response(a + b) for a in (" a wonderful", " a dreadful") for b in (" comedy", " war")]
    found = heads.attributes(texts)
    assert found[:2, 0].min() > found[2:, 0].max()
    means = found.mean(1) - np.array(heads.score(texts))
    np.testing.assert_allclose(means, means[0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("reward.heads=3",), "a response has 2 ratings for reward.heads=3; set reward.heads to"),
        (("reward.lr=1",), "reward.lr has no part in a head on features"),
        (("reward.loss=kwise",), "learns by reward.loss=bradley_terry from preferences or by"),
        (("reward.loss=bradley_terry", "reward.heads=2"), "several heads on features are attr"),
    ],
)
def test_what_cannot_be_is_refused(settings, said, tmp_path):
    path = written(tmp_path / "r.jsonl", rated())
    words = ("train", "--from", path, "--backbone", "lsa", "--out", str(tmp_path / "h"))
    assert said in invoke(*words, "reward.loss=regression", *settings, code=2)
    assert not (tmp_path / "h").exists()


def test_preferences_are_no_ratings_and_one_prompt_is_too_few(tmp_path):
    words = ("--backbone", "lsa", "reward.loss=regression", "reward.heads=2", "--out")
    pairs = [{"prompt": "q", "chosen": " good", "rejected": " bad"}]
    path = written(tmp_path / "p.jsonl", pairs)
    said = invoke("train", "--from", path, *words, str(tmp_path / "h"), "reward.holdout=0", code=2)
    assert "regression learns from a rating, and the data hold a preference" in said
    one = [row for row in rated() if row["prompt"] == "the film is"]
    path = written(tmp_path / "r.jsonl", one)
    said = invoke("train", "--from", path, *words, str(tmp_path / "h"), "reward.holdout=0", code=2)
    assert "attribute 0 has 4 ratings, too few prompts to choose a ridge by" in said
