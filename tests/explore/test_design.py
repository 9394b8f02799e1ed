"""What comparisons leave open, beside the lab's formulas and published numbers."""

import numpy as np
import pytest
import torch

from prefloop.explore._design import BLOCK, Design
from prefloop.theory import comparisons

PHI = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.6, 0], [0, 0, 1], [0.5, 0, 0.5]])
ASKED = [(0, 1)] * 17 + [(0, 2)] * 11 + [(1, 2)] * 11 + [(1, 3)] * 3
PRIOR = np.array([0.3, 0.3, 0.2, 0.1, 0.1])


def differences(asked: list[tuple[int, int]] = ASKED) -> np.ndarray:
    a, b = np.array(asked).T
    return PHI[a] - PHI[b]


@pytest.fixture
def design() -> Design:
    found = Design(ridge=1.0)
    found.add(differences())
    return found


def some(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dimension))


class TestNumbersOfASmallWorld:
    """Five places, 42 comparisons (arXiv:2312.11456, §2)."""

    def test_the_covariance(self, design):
        expected = [[23.72, -22.28, 0], [-22.28, 26.72, -3], [0, -3, 4]]
        np.testing.assert_allclose(design.state_dict()["covariance"], expected, rtol=1e-12)

    def test_widths_beside_the_mean_of_the_reference(self, design):
        expected = [0.1334418813, 0.1230004900, 0.1283969583, 0.4517713428, 0.1881057987]
        np.testing.assert_allclose(design.width(PHI, PRIOR @ PHI), expected, atol=1e-10)

    def test_distances_of_scaled_features(self, design):
        scaled = design.scaled(PHI)
        for (a, b), expected in {(0, 1): 0.2078433486, (0, 3): 0.5497935956}.items():
            assert np.linalg.norm(scaled[a] - scaled[b]) == pytest.approx(expected, abs=1e-10)
        far = np.linalg.norm(scaled[:, None] - scaled[None, :], axis=-1)
        assert np.unravel_index(far.argmax(), far.shape) == (2, 3)
        assert far.max() == pytest.approx(0.5598745205, abs=1e-10)

    def test_uncertainties_of_four_arms_in_a_plane(self):
        phi = np.array([[1, 0], [0.5, 0.5], [-0.2, 1], [0.9, -0.8]])
        plane = Design(ridge=1.0)
        plane.add(np.array([[0.5, -0.2], [0.3, 0.4], [-0.6, 0.1]]))
        expected = [0.0, 0.58669859, 1.27597084, 0.73371523]
        np.testing.assert_allclose(plane.width(phi, phi[0]), expected, atol=1e-8)


def test_widths_are_the_labs_in_more_dimensions_than_a_block(float64):
    dimension = 2 * BLOCK + 5
    asked, features = some(60, dimension), some(7, dimension, seed=1)
    design = Design(ridge=0.3)
    design.add(asked)
    cov = comparisons.covariance(torch.from_numpy(asked), ridge=0.3)
    twin = comparisons.width(torch.from_numpy(features), torch.from_numpy(features[0]), cov)
    np.testing.assert_allclose(design.width(features, features[0]), twin.numpy(), rtol=1e-9)


def test_before_anything_is_compared_every_direction_is_as_open_as_the_prior():
    features = some(4, 3)
    scaled = Design(ridge=4.0).scaled(features)
    np.testing.assert_allclose(scaled, features / 2, rtol=1e-15)
    empty = Design(ridge=4.0)
    empty.add(np.zeros((0, 3)))
    np.testing.assert_allclose(empty.scaled(features), features / 2, rtol=1e-15)


def test_a_comparison_narrows_its_own_pair_most_and_widens_none(design):
    before = design.scaled(PHI)
    design.add(PHI[[2]] - PHI[[3]])
    after = design.scaled(PHI)
    ratio = {
        (a, b): np.linalg.norm(after[a] - after[b]) / np.linalg.norm(before[a] - before[b])
        for a in range(5)
        for b in range(a)
    }
    assert min(ratio, key=ratio.__getitem__) == (3, 2)
    assert max(ratio.values()) <= 1 + 1e-12


def test_widths_fall_like_one_over_the_root_of_the_labels():
    """λ = 10⁻⁶ and the same pair n times: the width is 1/√n."""
    design, widths = Design(ridge=1e-6), []
    for n in (1, 9, 90):
        design.add(np.repeat([[1.0, 0.0]], n, axis=0))
        widths.append(design.width(np.array([[1.0, 0.0]]), np.zeros(2))[0])
    np.testing.assert_allclose(widths, 1 / np.sqrt([1, 10, 100]), rtol=1e-5)


def test_it_does_not_matter_how_comparisons_arrive(design):
    one_by_one = Design(ridge=1.0)
    for row in differences(ASKED[::-1]):
        one_by_one.add(-row[None])
        one_by_one.scaled(PHI)
    np.testing.assert_allclose(one_by_one.scaled(PHI), design.scaled(PHI), rtol=1e-10, atol=1e-14)


def test_a_copy_from_its_state_goes_on_bit_by_bit(design):
    copy = Design(ridge=1.0)
    copy.load_state_dict({name: value.copy() for name, value in design.state_dict().items()})
    for each in (design, copy):
        each.add(some(3, 3))
    np.testing.assert_array_equal(copy.scaled(PHI), design.scaled(PHI))


def test_an_empty_state_forgets_everything(design):
    assert Design().state_dict() == {}
    design.scaled(PHI)
    design.load_state_dict({})
    np.testing.assert_array_equal(design.scaled(some(2, 7)), some(2, 7))


def test_adding_leaves_a_state_that_was_taken_before_alone(design):
    before = design.state_dict()["covariance"]
    kept = before.copy()
    design.add(some(3, 3))
    np.testing.assert_array_equal(before, kept)


def test_bad_input_is_refused(design):
    for call in (design.add, design.scaled):
        with pytest.raises(ValueError, match=r"the 3 dimensions .* got 4: after a model change"):
            call(some(2, 4))
        with pytest.raises(ValueError, match=r"finite, got NaN or infinity in row 1 of 2; leave"):
            call(np.array([[0.0, 0.0, 0.0], [0.0, np.nan, 0.0]]))
    for ridge in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"ridge must be positive and finite, got"):
            Design(ridge=ridge)
