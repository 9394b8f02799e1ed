"""Every file in novelty/ against every promise, and the promises against wrong parts."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
from novelty_promises import (
    OF_EVERY_PART,
    a_restored_part_goes_on_bit_for_bit,
    a_score_depends_on_its_row_alone,
    an_empty_state_forgets_everything,
    counts_add_up_over_fits,
    it_is_a_dataclass_of_keywords_with_defaults,
    its_state_stays_what_it_was,
    no_visits_count_nothing,
    numbers_that_are_none_are_refused,
    rows_of_another_space_are_refused,
    scoring_changes_nothing,
    there_is_one_positive_number_a_row,
    visits_read_as_one_over_the_root_of_their_number,
    what_was_never_seen_reads_like_the_ridge_alone,
)
from promises import exemptions, keep

from prefloop import plugins

PARTS = {name: plugins.find("novelty", name) for name in plugins.names("novelty")}
OTHER_SETTINGS = {"coin_flip": {"network": {"readout": "network", "coins": 24}}}
"""settings that make a part of another kind, which must keep the promises too"""
MADE = [pytest.param(kind, kind, id=name) for name, kind in PARTS.items()] + [
    pytest.param(PARTS[name], partial(PARTS[name], **options), id=f"{name}-{label}")
    for name, others in OTHER_SETTINGS.items()
    for label, options in others.items()
]


@pytest.mark.parametrize(("kind", "make"), MADE)
@pytest.mark.parametrize("promise", OF_EVERY_PART, ids=lambda f: f.__name__)
def test_every_part_keeps(promise, kind, make):
    keep(promise, kind, make)


@pytest.mark.parametrize("kind", PARTS.values(), ids=PARTS)
def test_its_options_are_keywords_with_defaults(kind):
    it_is_a_dataclass_of_keywords_with_defaults(kind)


@pytest.mark.parametrize("kind", PARTS.values(), ids=PARTS)
def test_only_promises_that_exist_are_exempt(kind):
    assert set(exemptions(kind)) <= {promise.__name__ for promise in OF_EVERY_PART}


class Right:
    """Exact counts, so plain that each mistake below can be made in one place."""

    def __init__(self):
        self.seen, self.width = Counter(), None

    def check(self, rows):
        if self.width not in (None, rows.shape[1]):
            raise ValueError(f"dimension of {self.width}, got {rows.shape[1]}; or begin again")
        bad = ~np.isfinite(rows).all(1)
        if bad.any():
            row = int(bad.argmax())
            number = rows[row][~np.isfinite(rows[row])][0]
            raise ValueError(f"must be finite, got {number} in row {row}; mend it")

    def fit(self, rows):
        self.check(rows)
        if len(rows):
            self.width = rows.shape[1]
            self.seen.update(row.tobytes() for row in rows)

    def score(self, rows):
        self.check(rows)
        return (np.array([self.seen[row.tobytes()] for row in rows], dtype=float) + 0.1) ** -0.5

    def state_dict(self):
        if not self.width:
            return {}
        rows = np.frombuffer(b"".join(self.seen)).reshape(-1, self.width)
        return {"rows": rows, "counts": np.array([*self.seen.values()])}

    def load_state_dict(self, state):
        self.__init__()
        for row, count in zip(state.get("rows", ()), state.get("counts", ()), strict=True):
            self.width = len(row)
            self.seen[row.tobytes()] = int(count)


@pytest.mark.parametrize("promise", OF_EVERY_PART, ids=lambda f: f.__name__)
def test_a_right_part_keeps(promise):
    promise(Right)


class CountsWhatItScores(Right):
    def score(self, rows):
        self.fit(rows)
        return super().score(rows)


class ComparesInTheBatch(Right):
    def score(self, rows):
        found = super().score(rows)
        return found / found.max() if len(rows) else found


class OneOverN(Right):
    def score(self, rows):
        return super().score(rows) ** 2


class KnowsTheUnseen(Right):
    def score(self, rows):
        found = super().score(rows)
        return np.where(found > 3, 1e-3, found)


class OnlyTheLatest(Right):
    def fit(self, rows):
        self.seen = Counter()
        super().fit(rows)


class ForgetsCounts(Right):
    def state_dict(self):
        state = super().state_dict()
        return {**state, "counts": np.ones_like(state["counts"])} if state else {}


class RemembersTooMuch(Right):
    def load_state_dict(self, state):
        if state:
            super().load_state_dict(state)


class SharesItsState(Right):
    def __init__(self):
        super().__init__()
        self.total = np.zeros(1)

    def fit(self, rows):
        super().fit(rows)
        self.total += len(rows)

    def state_dict(self):
        state = super().state_dict()
        return {**state, "total": self.total} if state else {}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.total = state.get("total", self.total)


class NothingIsAVisit(Right):
    def fit(self, rows):
        super().fit(rows if len(rows) else np.ones((1, rows.shape[1])))


class TakesAnything(Right):
    def check(self, rows):
        pass


class Column(Right):
    def score(self, rows):
        return super().score(rows)[:, None]


@pytest.mark.parametrize(
    ("promise", "mutant"),
    [
        (there_is_one_positive_number_a_row, Column),
        (scoring_changes_nothing, CountsWhatItScores),
        (a_score_depends_on_its_row_alone, ComparesInTheBatch),
        (visits_read_as_one_over_the_root_of_their_number, OneOverN),
        (what_was_never_seen_reads_like_the_ridge_alone, KnowsTheUnseen),
        (counts_add_up_over_fits, OnlyTheLatest),
        (no_visits_count_nothing, NothingIsAVisit),
        (a_restored_part_goes_on_bit_for_bit, ForgetsCounts),
        (its_state_stays_what_it_was, SharesItsState),
        (an_empty_state_forgets_everything, RemembersTooMuch),
        (rows_of_another_space_are_refused, TakesAnything),
        (numbers_that_are_none_are_refused, TakesAnything),
    ],
    ids=lambda x: x.__name__,
)
def test_a_wrong_part_breaks_its_promise(promise, mutant):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        promise(mutant)
