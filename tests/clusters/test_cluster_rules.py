"""From labels to clusters: the numbers of the published code, and where it depends on order."""

from itertools import permutations, product

import numpy as np
import pytest

from prefloop.clusters._rules import (
    RULES,
    assign_once,
    by_first_appearance,
    entail_each_other,
    handed_on,
    kuhn,
    not_contradicting,
    overwritten,
    strict,
)

LABELS = np.array(
    [[2, 2, 1, 0, 1], [2, 2, 1, 0, 2], [1, 1, 2, 1, 1], [0, 0, 2, 2, 1], [1, 1, 1, 1, 2]]
)
CHAIN = np.array([[2, 0, 2], [0, 2, 2], [2, 2, 2]])
"""the last is like both others, which contradict each other"""


def groups(ids):
    """The partition, whatever its parts are called."""
    return {frozenset(i for i, x in enumerate(ids) if x == number) for number in ids}


class TestPublishedNumbers:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            (kuhn, (0, 0, 0, 0, 0)),
            (not_contradicting, (0, 0, 1, 1, 2)),
            (strict, (0, 0, 1, 2, 3)),
        ],
    )
    def test_five_responses(self, rule, expected):
        assert rule(LABELS) == expected

    def test_strict_parts_are_parts_of_the_others(self):
        for part, other in product(groups(strict(LABELS)), (kuhn, not_contradicting)):
            assert any(part <= whole for whole in groups(other(LABELS)))

    def test_a_chain(self):
        """Both published codes take the link away from the first; assigned once, it stays."""
        assert kuhn(CHAIN) == (0, 1, 1)
        assert overwritten(entail_each_other(CHAIN)) == (0, 1, 1)
        assert assign_once(entail_each_other(CHAIN)) == strict(CHAIN) == (0, 1, 0)


def by_the_2023_code(labels):
    """As its loop is written: every later text takes the current number of the earlier one."""
    ids = dict(enumerate(range(len(labels))))
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            if 0 not in (labels[i][j], labels[j][i]):
                ids[j] = ids[i]
    return list(ids.values())


def by_its_successor(labels):
    """As its loop is written: a text without a number gets the next, and gives it away."""
    ids, number = [-1] * len(labels), 0
    for i in range(len(labels)):
        if ids[i] == -1:
            ids[i] = number
            for j in range(i + 1, len(labels)):
                both = [labels[i][j], labels[j][i]]
                if 0 not in both and both != [1, 1]:
                    ids[j] = number
            number += 1
    return ids


@pytest.mark.parametrize("seed", range(30))
def test_plain_loops_say_the_same(seed):
    labels = np.random.default_rng(seed).integers(3, size=(6, 6))
    assert kuhn(labels) == by_first_appearance(by_the_2023_code(labels.tolist()))
    assert not_contradicting(labels) == by_first_appearance(by_its_successor(labels.tolist()))


@pytest.mark.parametrize("assign", [assign_once, overwritten, handed_on])
@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
def test_under_an_equivalence_order_is_nothing_and_all_ways_agree(assign, order):
    kinds = np.array([0, 1, 0, 2])[list(order)]
    assert assign(kinds[:, None] == kinds) == by_first_appearance(kinds.tolist())


@pytest.mark.parametrize("rule", [strict, kuhn, not_contradicting])
def test_without_one_order_counts(rule):
    """The link first, and all three are one; the link last, and they are two."""
    assert rule(CHAIN[::-1, ::-1]) == (0, 0, 0)
    assert len(groups(rule(CHAIN))) == 2


def test_numbers_are_counted_by_first_appearance():
    assert by_first_appearance("cacb") == (0, 1, 0, 2)
    assert by_first_appearance([]) == ()


def test_every_rule_numbers_from_zero_by_first_appearance():
    for rule, seed in product(RULES.values(), range(20)):
        ids = rule(np.random.default_rng(seed).integers(3, size=(7, 7)))
        assert ids == by_first_appearance(ids) and all(type(i) is int for i in ids)
