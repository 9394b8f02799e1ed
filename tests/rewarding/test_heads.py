"""A linear head on frozen features: where it is least, what it finds, what it refuses."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy import optimize

from prefloop.config import ConfigError
from prefloop.measure.calibration import nll
from prefloop.oracles._errors import OracleError
from prefloop.oracles.feature_head import FeatureHead
from prefloop.rewarding.heads import RIDGES, folds, logistic, train
from prefloop.types import Preference, Prompt, Query, Response
from worlds import response


def world(pairs: int, width: int = 8, seed: int = 0):
    """Gaps in features, Bernoulli labels by Bradley–Terry, and the true weights."""
    draw = np.random.default_rng(seed)
    gaps, true = draw.normal(size=(pairs, width)), draw.normal(size=width)
    return gaps, (draw.uniform(size=pairs) < 1 / (1 + np.exp(-gaps @ true))).astype(float), true


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_it_is_the_minimum_of_the_penalised_likelihood(ridge):
    gaps, p, _ = world(60)

    def objective(w):
        return nll(gaps @ w, p) + ridge * (gaps**2).mean() * w @ w / 2

    found = optimize.minimize(objective, np.zeros(8), tol=1e-12).x
    np.testing.assert_allclose(logistic(gaps, p, ridge), found, atol=1e-5)


def test_a_known_linear_reward_is_recovered_and_the_error_falls_as_one_over_root_n():
    """§6.1: corr > .98 from 5000 pairs; four times the pairs, half the error."""
    errors = []
    for pairs in (1250, 5000, 20000):
        runs = [world(pairs, seed=s) for s in range(10)]
        found = [logistic(gaps, p, 1e-6) for gaps, p, _ in runs]
        errors.append(
            np.mean([np.linalg.norm(w - t) for w, (*_, t) in zip(found, runs, strict=True)])
        )
        if pairs == 5000:
            assert (
                min(np.corrcoef(w, t)[0, 1] for w, (*_, t) in zip(found, runs, strict=True)) > 0.98
            )
    assert np.log(errors[0] / errors[2]) / np.log(16) == pytest.approx(0.5, abs=0.1)


def test_naming_pairs_the_other_way_round_and_the_unit_of_a_feature_change_nothing():
    gaps, p, _ = world(80)
    turn = np.where(np.arange(80) % 2, -1.0, 1.0)
    turned = logistic(gaps * turn[:, None], np.where(turn > 0, p, 1 - p), 0.1)
    np.testing.assert_allclose(turned, logistic(gaps, p, 0.1), atol=1e-8)
    np.testing.assert_allclose(logistic(10 * gaps, p, 0.1), turned / 10, atol=1e-8)


def test_what_nothing_contradicts_stays_finite():
    assert np.isfinite(logistic(np.ones((5, 1)), np.ones(5), 1e-6)).all()


class Encoder:
    """Random features, the same for the same text."""

    def features(self, responses):
        return np.array([np.random.default_rng(int(r.text)).normal(size=60) for r in responses])


@pytest.fixture
def noise(tmp_path, monkeypatch):
    """A head trained on labels that nothing explains, each given twice: folder and report."""
    monkeypatch.setattr("prefloop.rewarding.heads.plugins.build", lambda *given: Encoder())
    draw, rows = np.random.default_rng(5), []
    for i in range(32):
        prompt, p = Prompt(text=f"q{i}"), float(draw.integers(2))
        a, b = (Response(prompt=prompt, text=f"{n}", id=f"{n}") for n in (2 * i, 2 * i + 1))
        rows += [Preference(query=Query(prompt=prompt, a=a, b=b, id=f"{i}{x}"), p=p) for x in "xy"]
    return tmp_path, train(rows, "random", tmp_path, 0)


def test_the_ridge_is_the_one_that_is_likeliest_on_prompts_left_out(noise):
    """Of noise the strongest; what was seen, or its double, would be fitted best by the weakest."""
    _, report = noise
    losses = [report["nll_by_ridge"][str(ridge)] for ridge in RIDGES]
    assert losses == sorted(losses, reverse=True) and losses[-1] > np.log(2) - 0.01
    assert report["ridge"] == RIDGES[-1]


def test_pairs_of_one_prompt_are_too_few_to_choose_a_ridge_by(tmp_path):
    """Two prompts always fall in two folds."""
    assert set(folds(["q0", "q1", "q0"], 7)) == {0, 1}
    prompt = Prompt(text="q")
    a, b = (Response(prompt=prompt, text=text, id=text) for text in (" good", " bad"))
    rows = [Preference(query=Query(prompt=prompt, a=a, b=b, id=f"{i}"), p=1.0) for i in range(3)]
    with pytest.raises(ConfigError, match=r"3 pairs of one prompt .* give pairs of at least 2"):
        train(rows, "lsa", tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_scores_are_centred_on_the_responses_it_learned_from(noise):
    folder, _ = noise
    weight = load_file(folder / "head.safetensors")["weight"]
    scores = Encoder().features([response(str(n)) for n in range(64)]) @ weight
    shift = json.loads((folder / "head.json").read_text())["shift"]
    assert shift == pytest.approx(scores.mean()) and abs(shift) > 1e-6


def test_a_head_that_is_not_there_or_of_another_encoder_is_refused(tmp_path):
    with pytest.raises(OracleError, match="holds no head on features"):
        FeatureHead(path=str(tmp_path))
    said = {"features": {"name": "lsa", "options": {}}, "shift": 0.0}
    (tmp_path / "head.json").write_text(json.dumps(said))
    save_file({"weight": np.ones(3)}, tmp_path / "head.safetensors")
    with pytest.raises(OracleError, match="weighs 3 features and its encoder gives 192"):
        FeatureHead(path=str(tmp_path)).score([response(" good")])
