"""What every novelty part promises, checked on new parts that `make` makes."""

from collections.abc import Callable
from dataclasses import is_dataclass
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pytest

from prefloop.types import Novelty

Make = Callable[[], Novelty]
BASIS = np.eye(24)
TIMES = (1, 4, 16, 64)


def mixed(count: int = 12, seed: int = 0) -> np.ndarray:
    """Unit rows that are neither equal nor orthogonal."""
    rows = np.random.default_rng(seed).normal(size=(count, 24))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def after(make: Make, *fits: np.ndarray) -> Novelty:
    """A part that has counted these, one fit after the other."""
    part = make()
    for rows in fits:
        part.fit(rows)
    return part


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def it_is_a_novelty_part(make: Make) -> None:
    assert isinstance(make(), Novelty)


def there_is_one_positive_number_a_row(make: Make) -> None:
    for part in (make(), after(make, mixed())):
        for rows in (mixed(), mixed(1), mixed(0)):
            scores = part.score(rows)
            assert scores.shape == (len(rows),) and scores.dtype == np.float64
            assert (scores > 0).all() and np.isfinite(scores).all()


def scoring_changes_nothing(make: Make) -> None:
    part = after(make, mixed())
    before, first = part.state_dict(), part.score(mixed())
    assert np.array_equal(part.score(mixed()), first)
    assert same_bits(part.state_dict(), before)


def a_score_depends_on_its_row_alone(make: Make) -> None:
    part, rows = after(make, mixed()), np.concatenate([mixed(5), mixed(4, seed=1)])
    together = part.score(rows)
    np.testing.assert_allclose(part.score(rows[::-1])[::-1], together, rtol=1e-5)
    np.testing.assert_allclose([part.score(rows[i : i + 1])[0] for i in range(9)], together, 1e-5)


def visits_read_as_one_over_the_root_of_their_number(make: Make) -> None:
    rows = BASIS[:20]
    part = after(make, np.repeat(rows, np.repeat(TIMES, 5), axis=0))
    mean = part.score(rows).reshape(4, 5).mean(1)
    assert np.polyfit(np.log(TIMES), np.log(mean), 1)[0] == pytest.approx(-0.5, abs=0.05)
    np.testing.assert_allclose(mean * np.sqrt(TIMES), 1, atol=0.15)


def what_was_never_seen_reads_like_the_ridge_alone(make: Make) -> None:
    """1/√ridge, above what was seen once: before the first fit, and beside what was counted."""
    np.testing.assert_allclose(make().score(BASIS).mean(), 1 / np.sqrt(0.1), rtol=0.2)
    part = after(make, BASIS[:12])
    seen, unseen = part.score(BASIS[:12]), part.score(BASIS[12:])
    np.testing.assert_allclose(unseen.mean(), 1 / np.sqrt(0.1), rtol=0.2)
    assert unseen.min() > 1.5 * seen.max()


def counts_add_up_over_fits(make: Make) -> None:
    rows = np.concatenate([mixed(), mixed()])
    whole, parts = after(make, rows), after(make, *np.split(rows, 4))
    np.testing.assert_allclose(parts.score(mixed()), whole.score(mixed()), rtol=0.02)
    assert (whole.score(mixed()) < after(make, mixed()).score(mixed())).all()


def no_visits_count_nothing(make: Make) -> None:
    part = after(make, mixed())
    before = part.score(mixed())
    part.fit(mixed(0))
    assert np.array_equal(part.score(mixed()), before)
    assert same_bits(after(make, mixed(0)).state_dict(), {})


def a_restored_part_goes_on_bit_for_bit(make: Make) -> None:
    one = after(make, mixed(), mixed(7))
    other = make()
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    assert np.array_equal(one.score(mixed()), other.score(mixed()))
    one.fit(mixed(seed=1))
    other.fit(mixed(seed=1))
    assert np.array_equal(one.score(mixed()), other.score(mixed()))
    assert same_bits(one.state_dict(), other.state_dict())


def its_state_stays_what_it_was(make: Make) -> None:
    part = after(make, mixed())
    state = part.state_dict()
    kept = {name: array.copy() for name, array in state.items()}
    part.fit(mixed(seed=1))
    assert same_bits(state, kept)
    other = make()
    other.load_state_dict(state)
    other.fit(mixed(seed=2))
    assert same_bits(state, kept)


def an_empty_state_forgets_everything(make: Make) -> None:
    part = after(make, mixed())
    part.load_state_dict({})
    assert part.state_dict() == {}
    assert np.array_equal(part.score(mixed()), make().score(mixed()))
    part.fit(mixed()[:, :7])


def rows_of_another_space_are_refused(make: Make) -> None:
    part = after(make, mixed())
    restored = make()
    restored.load_state_dict(part.state_dict())
    for counted in (part, restored):
        for ask in (counted.fit, counted.score):
            with pytest.raises(ValueError, match=r"dimension of 24, got 7; .* begin again"):
                ask(mixed()[:, :7])


def numbers_that_are_none_are_refused(make: Make) -> None:
    for bad in (np.nan, np.inf):
        rows = mixed()
        rows[3, 5] = bad
        for ask in (make().fit, after(make, mixed()).fit, after(make, mixed()).score):
            with pytest.raises(ValueError, match=rf"must be finite, got {bad} in row 3; "):
                ask(rows)


OF_EVERY_PART: tuple[Callable[[Any], None], ...] = (
    it_is_a_novelty_part,
    there_is_one_positive_number_a_row,
    scoring_changes_nothing,
    a_score_depends_on_its_row_alone,
    visits_read_as_one_over_the_root_of_their_number,
    what_was_never_seen_reads_like_the_ridge_alone,
    counts_add_up_over_fits,
    no_visits_count_nothing,
    a_restored_part_goes_on_bit_for_bit,
    its_state_stays_what_it_was,
    an_empty_state_forgets_everything,
    rows_of_another_space_are_refused,
    numbers_that_are_none_are_refused,
)


def it_is_a_dataclass_of_keywords_with_defaults(kind: type) -> None:
    assert is_dataclass(kind)
    for option in signature(kind).parameters.values():
        assert option.kind is Parameter.KEYWORD_ONLY
        assert option.default is not Parameter.empty
