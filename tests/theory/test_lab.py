"""The lab's loop: what it asks, what it learns, and that it says what it finds."""

import numpy as np
import pytest
import torch
from rich.console import Console

from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.theory import closed, comparisons, main, regret
from prefloop.theory.claim import Claim, dice
from prefloop.theory.lab import METHODS, Exact, Lab, Method, distinct
from prefloop.theory.world import World, random_world

pytestmark = pytest.mark.usefixtures("float64")
NAMES = [method.name for method in METHODS]
SMALL = regret.Setting(seeds=3, rounds=4, questions=3)


def lab(method: Method, world: World | None = None, **settings: object) -> Lab:
    world = world or random_world(dice(0), responses=5)
    oracle = BradleyTerry(scorer=world, labels="probability")
    exact = Exact(world, beta=0.5)
    return Lab(world=world, oracle=oracle, method=method, learned=exact, beta=0.5, **settings)


def outcome(method: str, final: list[float], regret_before: float = 1.0) -> regret.Outcome:
    gap = np.array([[regret_before, value] for value in final])
    return regret.Outcome(method=method, gap=gap, labels=np.full(len(final), 1.0), questions=1)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_the_candidates_come_from_whom_the_method_names(method):
    found = lab(method).sample(1)
    assert len(found) == 5
    for options in found:
        wanted = [source for source, n in method.sources.items() for _ in range(n)]
        assert [r.source for r in options.responses] == wanted
        assert options.scores.shape == (1, len(wanted))


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_no_response_is_compared_with_itself(method):
    made = lab(method, questions=50)
    queries = made.choose(1, made.sample(1))
    assert queries and all(q.a.text != q.b.text for q in queries)
    assert len({q.id for q in queries}) == len(queries)


def test_candidates_that_coincide_are_no_question():
    made = lab(METHODS[0])
    (options, *_) = made.sample(1)
    same = options.responses[:1] * 2
    assert distinct(type(options)(prompt=options.prompt, responses=same)) is None


def test_ranking_rules_rank_by_what_the_policy_has_learned():
    made = lab(METHODS[0])
    before = np.concatenate([options.scores for options in made.sample(1)])
    assert np.abs(before).max() == 0
    made.learn(1, made.ask(1, made.choose(1, made.sample(1))))
    (options, *_) = made.sample(2)
    table, world = made.policy.table(), made.world
    places = [world.place(r) for r in options.responses]
    expected = [[0.5 * float(table[p] - world.prior[p]) for p in places]]
    np.testing.assert_allclose(options.scores, expected)


def test_after_a_round_the_policy_is_the_tilt_by_the_fit():
    made = lab(METHODS[0], questions=40)
    answers = made.ask(1, made.choose(1, made.sample(1)))
    made.learn(1, answers)
    wins = torch.zeros(5, 5)
    for row in answers:
        a, b = made.world.place(row.query.a)[1], made.world.place(row.query.b)[1]
        wins[a, b] += row.p
        wins[b, a] += 1 - row.p
    reward = comparisons.bradley_terry(wins, ridge=1.0)
    expected = closed.tilt(made.world.prior[0], reward, 0.5)
    torch.testing.assert_close(made.policy.table()[0], expected)
    assert made.labels == len(answers)


def test_the_gap_is_measured_against_the_truth():
    made = lab(METHODS[0])
    world = made.world
    best = closed.value(world.prior, world.reward, 0.5)
    here = closed.objective(world.prior, world.prior, world.reward, 0.5)
    assert made.measure(0)["gap"] == pytest.approx(float((best - here).mean()))
    assert made.measure(0)["kl"] == pytest.approx(0)


def test_regret_adds_up_the_policies_that_were_in_charge():
    gap = np.array([[4.0, 2.0, 1.0]])
    found = regret.Outcome(method="m", gap=gap, labels=np.ones(1), questions=5)
    assert found.regret.tolist() == [30.0]
    assert found.final.tolist() == [1.0]


def test_every_method_meets_the_same_worlds():
    starts = [found.gap[:, 0] for found in regret.compare(SMALL)]
    assert len(starts) == len(METHODS)
    for start in starts[1:]:
        np.testing.assert_array_equal(start, starts[0])


def test_findings_name_the_winner_whoever_it_is():
    plain = outcome("π × π", [0.50, 0.52, 0.48, 0.51])
    worse = outcome("favourite", [0.90, 0.93, 0.91, 0.89], regret_before=2.0)
    said = regret.findings([worse, plain])
    assert said[0].startswith("lowest final sub-optimality: π × π")
    assert said[0].endswith("lowest regret: π × π")
    assert said[1] == "not told apart from it: none"
    assert said[2].startswith("favourite is worse than π × π")


def test_findings_do_not_rank_what_cannot_be_told_apart():
    plain = outcome("π × π", [0.50, 0.60, 0.40, 0.55])
    other = outcome("other", [0.55, 0.50, 0.45, 0.54])
    said = regret.findings([plain, other])
    assert "other" in said[0] and "π × π" in said[1]
    assert any("not told apart from π × π" in line for line in said)


def test_the_slope_of_a_power_law_is_its_exponent():
    sizes = (10, 100, 1000)
    gaps = np.array([[n**-0.7 for n in sizes]] * 2)
    assert regret.slope(sizes, gaps) == pytest.approx(-0.7)


def holding(measured: float) -> Claim:
    return Claim(
        name="it_is_so", statement="It is so.", source="s", check=lambda: measured, tolerance=0.5
    )


@pytest.mark.parametrize(("measured", "code"), [(0.1, 0), (0.9, 1)])
def test_the_exit_code_says_whether_every_claim_holds(measured, code, monkeypatch, tmp_path):
    monkeypatch.setattr(main, "CLAIMS", (("topic", holding(measured)),))
    monkeypatch.setattr(main, "SIZES", (5, 10, 20, 40))
    monkeypatch.setattr(main, "BETAS", (0.5,))
    monkeypatch.setattr(main.regret, "Setting", lambda **_: SMALL)
    console = Console(record=True, width=120, quiet=False, file=(tmp_path / "x").open("w"))
    assert main.run(out=tmp_path / "out", console=console) == code
    said = (tmp_path / "out" / "theory.txt").read_text()
    assert ("does not hold: it_is_so" in said) == bool(code)
    assert f"{1 - code} of 1 claims hold" in said
    assert "lowest final sub-optimality" in said
    console.file.close()
    drawn = {path.name for path in (tmp_path / "out").glob("*.svg")}
    assert drawn == {"regret-beta-0.5.svg", "offline.svg"}


def test_findings_say_who_could_not_ask():
    gap = np.array([[1.0, 0.5], [1.0, 0.6]])
    idle = regret.Outcome(method="π × π", gap=gap, labels=np.array([3.0, 5.0]), questions=20)
    assert any("asked only 4 of 20 questions" in line for line in regret.findings([idle]))
