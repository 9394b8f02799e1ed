"""The lab's loop: what it asks, of whom, and what is learned from it."""

import numpy as np
import pytest
import torch

from prefloop import plugins
from prefloop.config import Learn
from prefloop.explore.max_uncertainty import max_uncertainty
from prefloop.explore.on_policy import on_policy
from prefloop.explore.temperature_pair import temperature_pair
from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.theory import closed, comparisons
from prefloop.theory.bonuses import Bonus, Count, Value
from prefloop.theory.claim import dice
from prefloop.theory.enhancer import enhancer
from prefloop.theory.fit import NoMinimum, minimise
from prefloop.theory.lab import Lab, Method
from prefloop.theory.learned import Exact, Learned, Stepped
from prefloop.theory.methods import bonuses, pair_rules
from prefloop.theory.tabular import TabularPolicy
from prefloop.theory.world import World, bandits, random_world

pytestmark = pytest.mark.usefixtures("float64")
RULES = {method.name: method for method in pair_rules(0.5)}
BONUSES = {method.name: method for method in bonuses(0.5, 1.0)}


def lab(method: Method, world: World | None = None, **settings: object) -> Lab:
    world = world or random_world(dice(0), responses=5)
    return Lab(
        world=world,
        oracle=BradleyTerry(scorer=world, labels="probability"),
        method=method,
        learned=Exact(world, beta=0.5, bonus=method.bonus),
        beta=0.5,
        **settings,
    )


def turn(made: Lab, round: int = 1) -> list:
    """A round up to what was learned; its answers."""
    answers = made.ask(round, made.choose(round, made.sample(round)))
    made.learn(round, answers)
    return answers


def seen(made: Lab, answers: list) -> torch.Tensor:
    """Who beat whom, counted by hand; one prompt."""
    wins = torch.zeros(5, 5)
    for row in answers:
        a, b = made.world.place(row.query.a)[1], made.world.place(row.query.b)[1]
        wins[a, b] += row.p
        wins[b, a] += 1 - row.p
    return wins


@pytest.mark.parametrize("method", RULES.values(), ids=RULES)
def test_the_candidates_come_from_whom_the_method_names(method):
    found = lab(method).sample(1)
    assert len(found) == 5
    for options in found:
        named = {"enhancer": "hot"}
        wanted = [
            named.get(source, source)
            for source, n in method.sources.items()
            for _ in range(5 if n == "all" else n)
        ]
        assert [r.source for r in options.responses] == wanted
        assert options.scores.shape[1] == len(wanted)


@pytest.mark.parametrize("method", RULES.values(), ids=RULES)
def test_no_response_is_compared_with_itself(method):
    made = lab(method, questions=50)
    turn(made)
    queries = made.choose(2, made.sample(2))
    assert queries and all(q.a.text != q.b.text for q in queries)
    assert len({q.id for q in queries}) == len(queries)


def test_every_rule_of_the_package_is_tried():
    """Except those that need a file of pairs, clusters of texts, or a reward model to draw from."""
    tried = {getattr(m.rule, "func", m.rule).__name__ for m in RULES.values()}
    assert set(plugins.names("explore")) - tried == {"file_or_policy", "largest_cluster", "rso"}


def test_prompts_are_asked_about_in_turn():
    made = lab(RULES["π × π"], bandits(range(3)), questions=4)
    rounds = [[o.prompt.tokens[0] for o in made.sample(round)] for round in (1, 2, 3)]
    assert rounds == [[0, 1, 2, 0], [1, 2, 0, 1], [2, 0, 1, 2]]


def test_ranking_rules_rank_by_what_the_policy_has_learned():
    made = lab(RULES["best_worst of 4"])
    before = np.concatenate([options.scores for options in made.sample(1)])
    assert np.abs(before).max() == 0
    turn(made)
    (options, *_) = made.sample(2)
    table, world = made.policy.table(), made.world
    places = [world.place(r) for r in options.responses]
    expected = [[0.5 * float(table[p] - world.prior[p]) for p in places]]
    np.testing.assert_allclose(options.scores, expected)


def test_rules_that_need_members_get_the_posterior_anew_each_round():
    made = lab(RULES["double_thompson"], members=12)
    one, again, other = (made.sample(round)[0].scores for round in (1, 1, 2))
    assert one.shape == (12, 5)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1


def test_rules_that_need_features_get_the_posterior_width():
    made = lab(RULES["max_uncertainty"])
    turn(made)
    (options, *_) = made.sample(2)
    cov = torch.linalg.inv(comparisons.curvature(made.learned.wins, made.learned.reward, ridge=1.0))
    places = [made.world.place(r)[1] for r in options.responses]
    for i, j in ((1, 2), (0, 4)):
        a, b = places[i], places[j]
        width = np.linalg.norm(options.features[i] - options.features[j])
        assert width**2 == pytest.approx(float(cov[0, a, a] + cov[0, b, b] - 2 * cov[0, a, b]))


def test_max_uncertainty_asks_about_the_widest_of_everything():
    made = lab(RULES["max_uncertainty"])
    turn(made)
    (options, *_) = made.sample(2)
    a, b = max_uncertainty(options, np.random.default_rng(0))
    assert a == 0
    cov = made.learned.posterior().factor[0] @ made.learned.posterior().factor[0].T
    first = made.world.place(options.responses[0])[1]
    widths = cov.diag() + cov[first, first] - 2 * cov[first]
    assert made.world.place(options.responses[b])[1] == int(widths.argmax())


def test_the_enhancer_is_gshfs_second_agent_of_the_moment():
    """Of 1,500 draws each response's count is within five standard errors of π²."""
    made, n = lab(RULES["GSHF agents"], questions=20), 1500
    turn(made)
    made.questions = n
    found = made.sample(2)
    features = torch.from_numpy(made.learned.posterior().features)
    second = enhancer(made.policy.table(), features, eta=0.5, scale=1.0)[0].exp()
    drawn = torch.tensor([made.world.place(o.responses[1])[1] for o in found])
    counts = torch.bincount(drawn, minlength=5)
    assert ((counts - n * second).abs() < 5 * (n * second * (1 - second)).sqrt()).all()
    assert (second - made.policy.table()[0].exp()).abs().max() > 0.05


def test_the_previous_policy_is_that_of_a_round_before():
    made = lab(RULES["checkpoint_pair"])
    turn(made)
    before = made.policy.table()
    turn(made, 2)
    (options, *_) = made.sample(3)
    x, y = made.world.place(options.responses[1])
    assert options.responses[1].logp == pytest.approx(float(before[x, y]))
    assert not torch.allclose(before, made.policy.table())


def test_hot_samples_are_as_likely_as_the_policy_says():
    made = lab(Method(name="m", rule=temperature_pair, sources={"policy": 1, "hot": 3}), hot=4.0)
    turn(made)
    (options, *_) = made.sample(2)
    flat = (made.policy.table()[0] / 4).log_softmax(0)
    for r in options.responses[1:]:
        x, y = made.world.place(r)
        assert r.logp == pytest.approx(float(made.policy.table()[x, y]))
        assert r.logp_sampling == pytest.approx(float(flat[y]))


def test_a_rule_that_needs_doubts_is_refused_where_nobody_has_any():
    world = random_world(dice(0))
    stepped = Stepped(policy=TabularPolicy(world), loss=lambda y: y.a, settings=Learn())
    assert isinstance(stepped, Learned)
    made = Lab(
        world=world,
        oracle=BradleyTerry(scorer=world),
        method=RULES["infomax"],
        learned=stepped,
    )
    with pytest.raises(ValueError, match=r"needs members or features.*learn with Exact"):
        made.sample(1)


@pytest.mark.parametrize("bonus", [None, Value(alpha=0.4), Count(alpha=0.4)], ids=repr)
def test_after_a_round_the_policy_is_the_tilt_by_the_fit(bonus: Bonus | None):
    method = Method(name="m", rule=on_policy, sources={"policy": 2}, bonus=bonus)
    made = lab(method, questions=40)
    answers = turn(made)
    wins, prior = seen(made, answers), made.world.prior[0]

    def objective(reward: torch.Tensor) -> torch.Tensor:
        fit = comparisons.loss(wins, reward, ridge=1.0)
        if isinstance(bonus, Value):
            worth = closed.value(prior, reward - prior.exp() @ reward, 0.5)
            return fit - bonus.alpha * worth
        if isinstance(bonus, Count):
            rare = (1 + wins.sum(0) + wins.sum(1)).rsqrt()
            return fit - bonus.alpha * closed.tilt(prior, reward, 0.5).exp() @ rare
        return fit

    expected = closed.tilt(prior, minimise(objective, torch.zeros(5)), 0.5)
    torch.testing.assert_close(made.policy.table()[0], expected, rtol=0, atol=1e-7)
    assert made.answered.tolist() == [len(answers)]


def test_two_worlds_in_one_lab_learn_nothing_of_each_other():
    method, both = RULES["π₀ × π₀"], bandits((4, 5))
    made = lab(method, both, questions=40)
    answers = turn(made)
    for x in range(2):
        alone = Exact(both, beta=0.5)
        alone.take(1, [row for row in answers if row.query.prompt.tokens[0] == x])
        torch.testing.assert_close(alone.policy.table()[x], made.policy.table()[x])


def test_the_gap_is_measured_against_the_truth():
    made = lab(RULES["π × π"])
    world = made.world
    best = closed.value(world.prior, world.reward, 0.5)
    here = closed.objective(world.prior, world.prior, world.reward, 0.5)
    assert made.measure(0)["gap"] == pytest.approx(float((best - here).mean()))
    assert made.measure(0)["kl"] == pytest.approx(0)


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_optimism_without_a_ridge_is_refused_where_it_has_no_minimum(alpha):
    """α_crit is zero while a response was never beaten."""
    world = random_world(dice(0), responses=5)
    exact = Exact(world, beta=0.5, ridge=0.0, bonus=Value(alpha=alpha))
    with pytest.raises(NoMinimum, match=r"alpha must be below alpha_crit = 0 .* set ridge above 0"):
        exact.take(1, [])


def test_a_bonus_is_turned_round_by_its_mode_and_not_by_a_sign():
    with pytest.raises(ValueError, match="alpha must be at least 0, got -1; set mode='offline'"):
        Value(alpha=-1.0)


def test_the_names_of_methods_are_their_own_and_their_baselines_there():
    for known in (RULES, BONUSES):
        assert {method.beside for method in known.values()} <= known.keys()
    assert len(RULES) == len(pair_rules(0.5)) and len(BONUSES) == len(bonuses(0.5, 1.0))
