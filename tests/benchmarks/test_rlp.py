"""The comparison of RLP reads each policy phase off a run's metrics as a way of its own from π₀."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rlp(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("rlp")


def metrics(slope: float) -> Sequence[Mapping[str, Any]]:
    """Gold is √KL in the first phase and `slope` · √KL in the second; every other round measured.

    The proxy is right .5 + KL/100 of the time; on the reward round, which does not count, always.
    """
    line = lambda round, phase, kl, times: {
        "round": round,
        "phase": phase,
        "kl": kl,
        "gold_reward_mean": None if kl is None else times * kl**0.5,
        "proxy_accuracy": None if kl is None else 1.0 if "reward" in phase else 0.5 + kl / 100,
    }
    return [
        line(0, "reward", 0.0, 1),
        line(1, "reward", None, 1),
        line(2, "policy 1", 4.0, 1),
        line(3, "policy 1", None, 1),
        line(4, "reward 2", 9.0, 1),
        line(5, "policy 2", None, slope),
        line(6, "policy 2", 16.0, slope),
    ]


def test_phases_are_ways_of_their_own(rlp: Any) -> None:
    legs = rlp.legs({("rlp_spg", 0): metrics(2), ("iterated_rlhf", 0): metrics(3)})
    assert [*legs] == ["ppo", "rlp_spg", "iterated_rlhf, first phase", "iterated_rlhf"]
    gold, proxy = (rlp.at_shared_kl(legs, name) for name in (rlp.GOLD, "proxy_accuracy"))
    assert (gold.kl, proxy.kl) == (pytest.approx(9), pytest.approx(4))
    assert gold.values["ppo"][0] == pytest.approx(3)
    assert gold.values["rlp_spg"][0] == pytest.approx(6)
    assert proxy.values["ppo"][0] == pytest.approx(0.54)


def test_differences_are_paired_by_seed(rlp: Any) -> None:
    found = {("rlp_spg", seed): metrics(slope) for seed, slope in ((0, 2), (1, 3))}
    table = rlp.table(rlp.legs(found))
    cells = {column.header: [*column.cells] for column in table.columns}
    assert cells["method"] == ["ppo", "rlp_spg"]
    assert cells["gold at KL 9.00"][0].startswith("3.000 ")
    assert cells["difference to PPO"][1].startswith("4.500 ")  # the mean of 6 − 3 and 9 − 3
    assert cells["KL at the end"][1].startswith("16.000 ")


def test_one_seed_has_no_interval(rlp: Any) -> None:
    assert rlp.interval([0.5]) == "0.500"
    assert rlp.interval([0.5, 0.5]) == "0.500 (0.500 to 0.500)"
