"""The guidebook's two KL paths, row by row, and what becomes of a rare hack."""

import guide
import pytest
import torch

from prefloop.measure.overoptimization import farthest_accurate_kl
from prefloop.theory.overoptimization import five_arms, noisy

NOISY = (
    (0, 0.00000000, 0.82390190, -0.03777881, -0.05425322),
    (0.25, 0.04362930, 0.82319757, 0.31159865, 0.19418118),
    (0.5, 0.17425748, 0.82254174, 0.65994393, 0.44204198),
    (0.75, 0.39248825, 0.82134159, 1.00906196, 0.69224773),
    (1, 0.69967594, 0.81989848, 1.36008514, 0.94815864),
    (1.25, 1.09590220, 0.81949286, 1.71228906, 1.21286948),
    (1.5, 1.57587457, 0.82195716, 2.06145879, 1.48744142),
    (1.75, 2.12413946, 0.82889074, 2.39907088, 1.76884687),
    (2, 2.71323609, 0.84083754, 2.71357952, 2.04921904),
    (2.5, 3.87337196, 0.87550424, 3.23227515, 2.56322178),
    (3, 4.82760945, 0.91255394, 3.58172586, 2.96186288),
    (4, 5.96332848, 0.96373434, 3.91472476, 3.41358963),
)
"""λ, KL, accuracy, proxy, gold with independent errors (Alignment Guidebook, path A)"""
HACKED = (
    (0, 0.00000000, 0.80430430, 0.02977865, -0.05425322),
    (0.25, 0.04900008, 0.78120580, 0.41495357, 0.13403706),
    (0.5, 0.21273753, 0.73254451, 0.84851141, 0.26720478),
    (0.75, 0.52081013, 0.64838358, 1.33954932, 0.29974586),
    (1, 0.98846769, 0.53280523, 1.87343912, 0.19303561),
    (1.25, 1.58178870, 0.41039714, 2.40153618, -0.05089155),
    (1.5, 2.21364007, 0.31088848, 2.86246859, -0.37725814),
    (1.75, 2.79143123, 0.24728215, 3.21943985, -0.71205877),
    (2, 3.26433902, 0.21417605, 3.47271033, -1.00397462),
    (2.5, 3.89794854, 0.19531808, 3.75853385, -1.40952442),
    (3, 4.25617439, 0.19534906, 3.89021981, -1.63329599),
    (4, 4.64326831, 0.19433349, 4.00329873, -1.83647190),
)
"""the same with 10 hacks in 1000 (path B)"""


@pytest.mark.parametrize(("hacks", "rows"), [(0, NOISY), (10, HACKED)], ids=["noisy", "hacked"])
def test_the_paths_have_the_guidebooks_numbers(hacks, rows):
    found = noisy(hacks=hacks).tilted([float(row[0]) for row in rows])
    for place, (_, *expected) in zip(found, rows, strict=True):
        assert tuple(place) == pytest.approx(tuple(expected), abs=1e-8)


def test_only_hacks_make_the_proxy_inaccurate():
    crossings = [
        farthest_accurate_kl([row[1] for row in rows], [row[2] for row in rows])
        for rows in (NOISY, HACKED)
    ]
    assert crossings == [None, pytest.approx(0.15400260, abs=1e-7)]


def test_five_arms_have_the_guides_gold_at_the_start():
    start, hacked = five_arms().tilted([0.0, 2.0])
    assert start.gold == pytest.approx(0.135) and start.kl == pytest.approx(0, abs=1e-12)
    assert (hacked.proxy, hacked.gold) == pytest.approx((1.3912512545, -0.2213336267))


@pytest.mark.usefixtures("float64")
def test_the_five_arms_are_the_guides_world_with_another_truth():
    prior, reward = guide.world()
    world = five_arms()
    torch.testing.assert_close(world.prior, prior)
    torch.testing.assert_close(world.proxy, reward)
    assert (world.gold != reward).nonzero().tolist() == [[4]]


def test_the_best_of_one_is_the_prior():
    world = five_arms()
    assert tuple(world.best_of([1])[0]) == pytest.approx(tuple(world.tilted([0.0])[0]))
