"""Which rounds of a run with several phases belong together."""

from prefloop.compare.curves import gold_at
from prefloop.measure.phases import last_phase, last_way

ROWS = [
    {"round": 0, "phase": "reward", "kl": 0.0, "gold_reward_mean": 0.0},
    {"round": 1, "phase": "reward", "kl": 0.0, "gold_reward_mean": 0.0},
    {"round": 2, "phase": "policy 1", "kl": 4.0, "gold_reward_mean": 8.0},
    {"round": 3, "phase": "policy 2", "kl": 1.0, "gold_reward_mean": 1.0},
    {"round": 4, "phase": "policy 2", "kl": 4.0, "gold_reward_mean": 2.0},
]


def test_the_last_phase_is_its_own_rounds_and_its_way_begins_at_round_0() -> None:
    assert [row["round"] for row in last_phase(ROWS)] == [3, 4]
    assert [row["round"] for row in last_way(ROWS)] == [0, 3, 4]
    assert list(last_phase([])) == list(last_way([])) == []


def test_a_way_begins_where_imitation_ended_which_is_nowhere_from_itself() -> None:
    """Round 1's KL of 9 is from the model before it; later rounds are measured from round 1."""
    rows = [
        {"round": 0, "phase": "sft", "kl": 0.0, "gold_reward_mean": 5.0},
        {"round": 1, "phase": "sft", "origin": 0, "kl": 9.0, "gold_reward_mean": 1.0},
        {"round": 2, "phase": "policy", "origin": 1, "kl": 4.0, "gold_reward_mean": 3.0},
    ]
    assert [(row["round"], row["kl"]) for row in last_way(rows)] == [(1, 0.0), (2, 4.0)]
    assert gold_at(rows, 1.0) == 2.0


def test_rounds_without_phases_all_belong_together() -> None:
    plain = [{"round": n} for n in range(3)]
    assert list(last_phase(plain)) == list(last_way(plain)) == plain


def test_gold_at_a_kl_is_that_of_the_last_phase() -> None:
    """At KL 4 the first policy had 8, the second has 2; at KL 1 only the second was measured."""
    assert gold_at(ROWS, 4.0) == 2.0
    assert gold_at(ROWS, 1.0) == 1.0
