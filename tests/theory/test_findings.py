"""What the experiments add up, and what they say of it."""

import numpy as np
import pytest
import torch
from rich.console import Console

from prefloop.theory import main, methods, offline, regret
from prefloop.theory.bonuses import Value
from prefloop.theory.claim import Claim
from prefloop.theory.world import bandits

pytestmark = pytest.mark.usefixtures("float64")
SMALL = regret.Setting(seeds=3, rounds=4, questions=3)


def outcome(
    method: str, final: list[float], *, before: float = 1.0, beside: str = "π × π"
) -> regret.Outcome:
    gap = np.array([[before, value] for value in final])
    one = np.ones(len(final))
    return regret.Outcome(method=method, gap=gap, labels=one, questions=1, right=one, beside=beside)


def test_regret_adds_up_the_policies_that_were_in_charge():
    gap = np.array([[4.0, 2.0, 1.0]])
    one = np.ones(1)
    found = regret.Outcome(method="m", gap=gap, labels=one, questions=5, right=one)
    assert found.regret.tolist() == [30.0]
    assert found.final.tolist() == [1.0]


def test_every_method_meets_the_same_worlds():
    rules = (*methods.pair_rules(SMALL.beta), *methods.bonuses(SMALL.beta, SMALL.ridge))
    starts = [found.gap[:, 0] for found in regret.compare(SMALL, rules)]
    assert len(starts) == len(rules)
    for start in starts[1:]:
        np.testing.assert_array_equal(start, starts[0])


def test_a_world_is_the_same_alone_and_among_others():
    together, alone = bandits(range(3)), bandits([2])
    torch.testing.assert_close(together.prior[2], alone.prior[0])
    torch.testing.assert_close(together.reward[2], alone.reward[0])


def test_rewards_between_zero_and_one_are_uniform():
    """Deciles of 2,000 rewards hold 200 each, within five standard errors."""
    reward = bandits(range(200), rewards="unit").reward.flatten()
    counts = torch.histc(reward, bins=10, min=0.0, max=1.0)
    assert counts.sum() == 2000
    assert (counts - 200).abs().max() < 5 * (200 * 0.9) ** 0.5


def test_findings_name_the_winner_whoever_it_is():
    plain = outcome("π × π", [0.50, 0.52, 0.48, 0.51])
    worse = outcome("favourite", [0.90, 0.93, 0.91, 0.89], before=2.0)
    said = regret.findings([worse, plain])
    assert said[0].startswith("lowest final sub-optimality: π × π")
    assert said[0].endswith("lowest regret: π × π")
    assert said[1] == "not told apart from it: none"
    assert "worse than π × π: favourite" in said
    assert "better than π × π: none" in said


def test_findings_do_not_rank_what_cannot_be_told_apart():
    plain = outcome("π × π", [0.50, 0.60, 0.40, 0.55])
    other = outcome("other", [0.55, 0.50, 0.45, 0.54])
    said = regret.findings([plain, other])
    assert "other" in said[0] and "π × π" in said[1]
    assert "not told apart from π × π: other" in said


def test_a_bonus_is_compared_with_its_own_pairs():
    plain = outcome("π × π", [0.50, 0.52, 0.48, 0.51])
    mixed = outcome("mixed", [0.20, 0.22, 0.18, 0.21])
    hope = outcome("mixed + hope", [0.30, 0.31, 0.28, 0.30], beside="mixed")
    said = regret.findings([plain, mixed, hope])
    assert "worse than mixed: mixed + hope" in said
    assert "better than π × π: mixed" in said


def test_findings_say_who_could_not_ask():
    gap, one = np.array([[1.0, 0.5], [1.0, 0.6]]), np.ones(2)
    idle = regret.Outcome(
        method="π × π", gap=gap, labels=np.array([3.0, 5.0]), questions=20, right=one
    )
    assert any(
        "half of 20 questions" in s and s.endswith("π × π 4") for s in regret.findings([idle])
    )


def test_the_slope_of_a_power_law_is_its_exponent():
    sizes = (10, 100, 1000)
    gaps = np.array([[n**-0.7 for n in sizes]] * 2)
    assert offline.slope(sizes, gaps) == pytest.approx(-0.7)


def test_answers_are_collected_once_and_counted_in_order():
    """The first 20 of a world are among its first 60, and a tie of equals teaches nothing."""
    world, answers = offline.collect(regret.Setting(seeds=4), (20, 60))
    assert (answers[20] <= answers[60]).all()
    for size, wins in answers.items():
        total = wins.sum((1, 2))
        assert (total <= size).all() and (total > size / 3).all()
        assert wins.diagonal(dim1=1, dim2=2).sum() == 0
    assert answers[20].shape == (4, 10, 10) and world.prior.shape == (4, 10)


LIMITS = {
    "DPO": offline.Fitted(ridge=1e9),
    "VPO": offline.Fitted(bonus=Value(alpha=1e5, mode="offline")),
    "lower bound": offline.LowerBound(ridge=1e9),
}


@pytest.mark.parametrize("learner", LIMITS.values(), ids=LIMITS)
def test_whoever_trusts_no_answer_stays_at_the_reference(learner):
    world, answers = offline.collect(regret.Setting(seeds=2), (30,))
    found = learner(world, answers[30], 0.5)
    torch.testing.assert_close(found, world.prior, rtol=0, atol=1e-3)


def test_a_lower_bound_of_no_width_is_the_fit():
    world, answers = offline.collect(regret.Setting(seeds=2), (30,))
    plain = offline.Fitted(ridge=1.0)(world, answers[30], 0.5)
    bound = offline.LowerBound(ridge=1.0, scale=0.0)(world, answers[30], 0.5)
    torch.testing.assert_close(bound, plain, rtol=0, atol=1e-7)


def test_adamw_goes_where_the_exact_fit_is_when_answers_are_many():
    """600 steps on 3,000 answers end within 1 % of the exact fit's probabilities."""
    world, answers = offline.collect(regret.Setting(seeds=2, uniform=True), (3000,))
    bonus = offline.pessimism(10.0)
    exact, descended = offline.Fitted(bonus=bonus), offline.Descended(bonus=bonus, steps=600)
    found = [learner(world, answers[3000], 1.0).exp() for learner in (exact, descended)]
    torch.testing.assert_close(*found, rtol=0, atol=0.01)


def test_offline_findings_say_where_each_is_better():
    gaps = {
        "DPO": np.array([[1.0, 0.1], [1.1, 0.2], [0.9, 0.15]]),
        "VPO": np.array([[0.5, 0.12], [0.6, 0.18], [0.45, 0.16]]),
    }
    assert offline.findings(gaps, (10, 1000)) == [
        "VPO: better than DPO at N = 10; not told apart from DPO at N = 1000"
    ]


def holding(measured: float) -> Claim:
    return Claim(
        name="it_is_so", statement="It is so.", source="s", check=lambda: measured, tolerance=0.5
    )


@pytest.mark.parametrize(("measured", "code"), [(0.1, 0), (0.9, 1)])
def test_the_exit_code_says_whether_every_claim_holds(measured, code, monkeypatch, tmp_path):
    monkeypatch.setattr(main, "CLAIMS", (("topic", holding(measured)),))
    monkeypatch.setattr(main, "SIZES", (5, 10, 20, 40))
    monkeypatch.setattr(main, "BETAS", (0.5,))
    monkeypatch.setattr(main, "OFFLINE_BETAS", (0.5,))
    monkeypatch.setattr(main.regret, "Setting", lambda **_: SMALL)
    rules, hopes = methods.pair_rules(0.5)[:2], methods.bonuses(0.5, 1.0)[:2]
    monkeypatch.setattr(main.methods, "pair_rules", lambda beta: rules)
    monkeypatch.setattr(main.methods, "bonuses", lambda beta, ridge: hopes)
    console = Console(record=True, width=120, quiet=False, file=(tmp_path / "x").open("w"))
    assert main.run(out=tmp_path / "out", console=console) == code
    said = (tmp_path / "out" / "theory.txt").read_text()
    assert ("does not hold: it_is_so" in said) == bool(code)
    assert f"{1 - code} of 1 claims hold" in said
    assert said.count("lowest final sub-optimality") == 2
    assert "VPO, π₀, α = 10: " in said
    console.file.close()
    drawn = {path.name for path in (tmp_path / "out").glob("*.svg")}
    assert drawn == {"rules-beta-0.5.svg", "bonuses-beta-0.5.svg", "offline-beta-0.5.svg"}
