"""Where COPO, XPO and SAIL move a policy of three responses, against the worked examples."""

import pytest
import torch
from guide import close

from prefloop.theory import counts, sail
from prefloop.theory.claims_bonuses import copo_push
from prefloop.theory.claims_sail import released

pytestmark = pytest.mark.usefixtures("float64")


def copo_example() -> tuple[torch.Tensor, ...]:
    """Logits, log of the law that drew, visits."""
    drawn = torch.tensor([0.5, 0.3, 0.2]).log()
    return torch.tensor([0.3, -0.2, 0.5]), drawn, torch.tensor([40.0, 8.0, 2.0])


def test_copos_push_is_the_guides_directly_and_by_importance_sampling():
    logits, drawn, visits = copo_example()
    bonus = counts.bonus(visits, ridge=0.0)
    close(logits.softmax(0) @ bonus, 0.437145026)
    expected = (-0.098669630, -0.017928601, 0.116598231)
    close(counts.bonus_slope(logits.log_softmax(0), bonus), *expected)
    close(copo_push(logits, drawn, visits), *expected)


def test_a_clip_changes_it_as_the_guide_says():
    logits, drawn, visits = copo_example()
    clipped = copo_push(logits, drawn, visits, clip=1.2)
    close(clipped, -0.050684635, 0.011175770, 0.039508865)


def test_xpos_push_away_from_the_reference_is_the_guides():
    logits, drawn, _ = copo_example()
    slope = torch.func.grad(lambda x: drawn.exp() @ x.log_softmax(0))(logits)
    close(-slope, -0.146384885, -0.085521591, 0.231906476)


def test_at_the_reference_only_copo_moves_and_a_greedy_sample_turns_it():
    policy, visits = torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([70.0, 20.0, 10.0])
    push = copo_push(policy, policy, visits)
    close(push, -0.028341095, 0.012719332, 0.015621763)
    close((policy + push).softmax(0), 0.691100446, 0.205733704, 0.103165850)
    mode = torch.tensor([0.0, -torch.inf, -torch.inf])
    greedy = copo_push(policy, policy, visits, law=mode)
    close(greedy, 0.035856858, -0.023904572, -0.011952286)


def sail_example() -> tuple[torch.Tensor, ...]:
    """Logits, log π₀, the oracle's P(row ≻ column)."""
    prior, reward = torch.tensor([0, 0.3, -0.2]).log_softmax(0), torch.tensor([1, 0, -0.5])
    return torch.tensor([0.2, -0.1, 0.4]), prior, torch.sigmoid(reward[:, None] - reward)


def test_sails_gradient_under_an_oracle_is_the_guides():
    logits, prior, oracle = sail_example()
    close(sail.value(logits, logits, prior, 0.5, oracle), -0.7214134763)
    one, two, three = sail.parts(logits, prior, 0.5, oracle)
    close(one, 0.0098248843, 0.0049434344, -0.0147683187)
    close(two, 0.0643639481, 0.0120331064, -0.0763970545)
    close(three, 0, 0, 0)


def test_sails_gradient_under_its_own_labels_is_the_guides():
    logits, prior, _ = sail_example()
    close(-sail.entropy(logits, prior, 0.5), -0.6836347906)
    one, two, three = sail.parts(logits, prior, 0.5)
    close(one, -0.0031590207, 0.0033694838, -0.0002104632)
    close(two, 0, 0, 0)
    close(three, -0.0006990206, -0.0183081877, 0.0190072084)


def test_the_released_hook_goes_where_the_guide_says():
    logits, prior, oracle = sail_example()
    close(-0.3 * released(logits, prior, 0.5, oracle), 0.0083657594, 0.0268343294, -0.0352000888)


def test_an_offline_pair_under_own_labels_is_the_guides():
    logits, prior, _ = sail_example()
    q, fit = sail.own_label(logits, prior, 0.5), sail.fit(logits, prior, 0.5)
    close(q[0, 1], 0.5744425168)
    close(q[0, 1] * fit[0, 1] + q[1, 0] * fit[1, 0], -0.6820224894)

    def half_square(x: torch.Tensor) -> torch.Tensor:
        f = sail.fit(x, prior, 0.5)
        return 0.5 * (q[0, 1] * f[0, 1] ** 2 + q[1, 0] * f[1, 0] ** 2)

    close(torch.func.grad(half_square)(logits), 0.0366687468, -0.0366687468, 0)


@pytest.mark.parametrize(
    ("n", "ridge", "coins", "width"),
    [
        (1, 0.1, 0.826446281, 0.953462589),
        (10, 0.1, 0.098029605, 0.314658388),
        (1, 1.0, 0.25, 0.707106781),
        (10, 1.0, 0.082644628, 0.301511345),
    ],
)
def test_ridge_coins_and_the_elliptical_norm_have_the_guides_numbers(n, ridge, coins, width):
    hot = torch.eye(2)[:1]
    close(counts.ridge_coin_square(hot.repeat(n, 1), hot[0], ridge), coins)
    close(counts.bonus(torch.tensor([float(n)]), ridge=ridge), width)


def test_ridge_coins_read_nothing_where_nobody_was():
    eye = torch.eye(2)
    close(counts.ridge_coin_square(eye[:1].repeat(5, 1), eye[1], 0.1), 0.0)
