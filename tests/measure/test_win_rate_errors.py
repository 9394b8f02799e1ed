"""Win rates and their standard errors as AlpacaFarm published them, and what flipped labels do."""

import pytest

from prefloop.measure.intervals import mean_interval, t_quantile, wins
from prefloop.oracles.noisy import Noisy
from worlds import Says, query

PUBLISHED = {
    (392, 404, 9): (49.254658, 1.753282),
    (312, 477, 16): (39.751553, 1.707927),
    (201, 604, 0): (24.968944, 1.526485),
    (503, 293, 9): (63.043478, 1.692064),
    (631, 156, 17): (79.539801, 1.400293),
}
"""wins, losses and draws on the evaluation set → win rate and standard error, in percent"""


@pytest.mark.parametrize(("outcome", "expected"), PUBLISHED.items(), ids=str)
def test_a_draw_counts_one_half_and_the_error_is_the_sample_deviation_over_root_n(
    outcome, expected
):
    won, lost, drawn = outcome
    scores = [1.0] * won + [-1.0] * lost + [0.0] * drawn
    rate, low, high = mean_interval(wins(scores, [0.0] * len(scores)))
    error = (high - low) / 2 / t_quantile(0.975, len(scores) - 1)
    assert (100 * rate, 100 * error) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("agreement", "expected"), [(0.65, 0.575), (0.75, 0.625), (0.9, 0.7)])
def test_a_quarter_of_labels_flipped_brings_agreement_halfway_to_chance(agreement, expected):
    (answer,) = Noisy(inner=Says(p=lambda _: agreement), rate=0.25).ask([query("a", "b")])
    assert answer.p == pytest.approx(expected)
