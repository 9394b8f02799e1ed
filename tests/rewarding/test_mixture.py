"""A gate that learns which attributes count for which prompts, where the truth is known."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import spearmanr

from prefloop.measure.calibration import nll
from prefloop.measure.reward import accuracy
from prefloop.models.gate import Mixture
from prefloop.rewarding.debias import MOST
from prefloop.rewarding.gating import Gating
from prefloop.rewarding.mixture import begun, learn
from prefloop.rewarding.seen import Weighed

pytestmark = pytest.mark.usefixtures("float64")
SMALL = Gating(hidden=16, layers=1, steps=300, lr=0.02, temperature=1.0, batch=256)
LINEAR = Gating(layers=0, steps=400, lr=0.1, temperature=1.0, batch=10_000, watch=0.0)


def gate(pairs: Weighed, settings: Gating, verbosity: int | None = None, seed: int = 0):
    """(the mixture, how it went)."""
    responses = np.concatenate([pairs.a, pairs.b])
    mixture = begun(pairs, responses, settings, verbosity=verbosity, seed=seed)
    return mixture, learn(mixture, pairs, settings, np.random.default_rng(seed))


def margins(mixture: Mixture, pairs: Weighed) -> np.ndarray:
    with torch.no_grad():
        weights = mixture.gate(torch.tensor(pairs.prompts))[pairs.which]
        a, b = (mixture(mixture.debiased(torch.tensor(x)), weights) for x in (pairs.a, pairs.b))
        return (a - b).numpy()


def two_kinds(count: int = 800, seed: int = 0) -> Weighed:
    """Half the prompts want the first attribute and half the second; nothing is noisy.

    Attributes are normal and independent, so a fixed weighting (cos t, sin t) ≥ 0 is right in
    ½ + [asin(cos t) + asin(sin t)] / 2π of the pairs: ¾, whatever t. The kind known, all.
    """
    draw = np.random.default_rng(seed)
    kind = np.arange(count) % 2
    a, b = draw.normal(size=(2, count, 2))
    better = (a - b)[np.arange(count), kind] > 0
    prompts = np.stack([kind, draw.normal(size=count), draw.normal(size=count)], 1)
    return Weighed(a=a, b=b, p=better.astype(float), which=np.arange(count), prompts=prompts)


def one_kind(count: int = 200, seed: int = 0, weights=(1.0, 0.5, 0.25)) -> Weighed:
    """One prompt, pairs with probabilities that are no law of the attributes exactly."""
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(2, count, len(weights)))
    logit = (a - b) @ np.array(weights) + draw.normal(size=count)
    one = np.zeros(count, dtype=np.int64)
    return Weighed(a=a, b=b, p=1 / (1 + np.exp(-logit)), which=one, prompts=np.ones((1, 4)))


def best_weights(gaps: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, float]:
    """The w ≥ 0 (β times a point of the simplex) with the least Bradley–Terry loss: convex."""
    bounds = [(0, None)] * gaps.shape[1]
    start = np.full(gaps.shape[1], 0.5)
    found = minimize(lambda w: nll(gaps @ w, p), start, bounds=bounds, tol=1e-14)
    return found.x, float(found.fun)


def test_weights_are_a_distribution_whatever_the_prompt():
    mixture = Mixture(5, 7, hidden=8, layers=3, temperature=0.1, seed=1)
    weights = mixture.gate(100 * torch.randn(50, 5))
    assert (weights >= 0).all() and weights.std(0).max() > 0.1
    torch.testing.assert_close(weights.sum(1), torch.ones(50))


@pytest.mark.parametrize("seed", range(2))
def test_where_kinds_of_prompts_want_different_things_it_is_right_and_fixed_weights_are_not(seed):
    mixture, _ = gate(two_kinds(seed=seed), SMALL, seed=seed)
    held = two_kinds(4000, seed=seed + 100)
    assert accuracy(margins(mixture, held), held.p).value > 0.95
    gaps, error = held.a - held.b, (0.75 * 0.25 / 4000) ** 0.5
    for angle in (0.0, 0.3, np.pi / 4, np.pi / 2):
        fixed = gaps @ np.array([np.cos(angle), np.sin(angle)])
        assert accuracy(fixed, held.p).value == pytest.approx(0.75, abs=4 * error)


def test_with_one_kind_of_prompt_it_reaches_the_convex_optimum():
    pairs = one_kind()
    mixture, learned = gate(pairs, LINEAR)
    unit = np.concatenate([pairs.a, pairs.b]).std(0)
    wanted, least = best_weights((pairs.a - pairs.b) / unit, pairs.p)
    assert wanted.min() > 0.1
    assert learned.losses[-1] == pytest.approx(least, abs=1e-8)
    weights = mixture.gate(torch.ones(1, 4))[0].detach().numpy() * mixture.log_scale.exp().item()
    np.testing.assert_allclose(weights, wanted, atol=1e-3)


def test_what_speaks_against_an_attribute_leaves_it_without_weight():
    """The optimum is at the edge w₂ = 0, which a softmax only approaches; without w ≥ 0, lower."""
    pairs = one_kind(weights=(1.0, 0.5, -0.8))
    mixture, learned = gate(pairs, LINEAR)
    gaps = (pairs.a - pairs.b) / np.concatenate([pairs.a, pairs.b]).std(0)
    wanted, least = best_weights(gaps, pairs.p)
    free = minimize(lambda w: nll(gaps @ w, pairs.p), np.zeros(3)).fun
    assert wanted[2] == 0 and free < least - 0.02
    assert least <= learned.losses[-1] < least + 1e-3
    assert mixture.gate(torch.ones(1, 4))[0, 2] < 0.01


def wordy(count: int = 600, seed: int = 0) -> Weighed:
    """Quality with three times the length in it, style, and length; people want quality."""
    draw = np.random.default_rng(seed)
    q, s, v = draw.normal(size=(3, 2, count))
    a, b = np.stack([q + 3 * v, s, v], 2)
    p = 1 / (1 + np.exp(-2 * (q[0] - q[1])))
    one = np.zeros(count, dtype=np.int64)
    return Weighed(a=a, b=b, p=p, which=one, prompts=np.ones((1, 4)))


def test_the_gate_is_trained_on_what_is_left_without_verbosity():
    """And not on what the heads say, as the published second stage is.

    With length in it, no weights ≥ 0 explain what people want; without it, the first attribute is
    what they want.
    """
    pairs = wordy()
    mixture, learned = gate(pairs, LINEAR, verbosity=2)
    both = np.concatenate([pairs.a, pairs.b])
    _, biased = best_weights((pairs.a - pairs.b) / both.std(0), pairs.p)
    clean = both - mixture.penalty.numpy() * both[:, [2]]
    unit = np.where(clean.std(0) > 0, clean.std(0), 1)
    _, least = best_weights((clean[:600] - clean[600:]) / unit, pairs.p)
    assert least < biased - 0.1
    assert least - 1e-9 <= learned.losses[-1] < least + 1e-3
    assert nll(margins(mixture, pairs), pairs.p) == pytest.approx(learned.losses[-1], abs=1e-3)


def test_what_it_weighs_does_not_go_with_verbosity_and_verbosity_is_nothing():
    pairs = wordy()
    mixture, _ = gate(pairs, SMALL, verbosity=2)
    both = np.concatenate([pairs.a, pairs.b])
    left = mixture.debiased(torch.tensor(both)).numpy()
    for k in range(2):
        assert abs(spearmanr(both[:, k], both[:, 2]).statistic) > 0.9 or k == 1
        assert abs(spearmanr(left[:, k], both[:, 2]).statistic) <= MOST
    assert np.abs(left[:, 2]).max() == 0
    np.testing.assert_allclose(left[:, :2].std(0), 1)


def test_a_constant_for_a_prompt_changes_no_margin():
    pairs = two_kinds(100)
    mixture, _ = gate(pairs, SMALL.model_copy(update={"steps": 20}))
    more = np.random.default_rng(1).normal(size=(100, 1)) * 10
    moved = Weighed(
        a=pairs.a + more, b=pairs.b + more, p=pairs.p, which=pairs.which, prompts=pairs.prompts
    )
    np.testing.assert_allclose(margins(mixture, moved), margins(mixture, pairs), atol=1e-10)


def test_the_units_of_ratings_and_of_embeddings_change_nothing():
    pairs, units = wordy(100), np.array([10.0, 0.01, 3.0])
    scaled = Weighed(
        a=pairs.a * units + 5,
        b=pairs.b * units + 5,
        p=pairs.p,
        which=pairs.which,
        prompts=pairs.prompts * 100 + 7,
    )
    settings = SMALL.model_copy(update={"steps": 30})
    one, other = (gate(x, settings, verbosity=2)[0] for x in (pairs, scaled))
    np.testing.assert_allclose(margins(one, pairs), margins(other, scaled), atol=1e-6)


def test_seeds_are_reproducible_and_another_is_another():
    settings = SMALL.model_copy(update={"steps": 10, "batch": 50})
    one, two, three = (
        margins(gate(two_kinds(), settings, seed=s)[0], two_kinds()) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, three)


def noise(count: int = 60, seed: int = 0) -> Weighed:
    """Labels that are coins: whatever is learned is of no use to others."""
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(2, count, 3))
    p, prompts = (draw.uniform(size=count) < 0.5).astype(float), draw.normal(size=(count, 8))
    return Weighed(a=a, b=b, p=p, which=np.arange(count), prompts=prompts)


def test_the_best_step_for_other_prompts_is_kept():
    settings = SMALL.model_copy(update={"watch": 0.3})
    mixture, learned = gate(noise(), settings)
    assert learned.watched == 18 and learned.kept < 300
    everyone = settings.model_copy(update={"watch": 0.0})
    last, all_the_way = gate(noise(), everyone)
    assert (all_the_way.kept, all_the_way.watched) == (300, 0)
    other = noise(2000, seed=5)
    mine, theirs = (nll(margins(m, other), other.p) for m in (mixture, last))
    assert mine < theirs - 0.1


def test_it_is_the_same_when_it_is_read_again(tmp_path):
    pairs = wordy(50)
    mixture, _ = gate(pairs, SMALL.model_copy(update={"steps": 5}), verbosity=2)
    mixture.save(tmp_path)
    again = Mixture.load(tmp_path)
    np.testing.assert_array_equal(margins(again, pairs), margins(mixture, pairs))
    assert (again.verbosity, again.temperature) == (2, 1.0)
