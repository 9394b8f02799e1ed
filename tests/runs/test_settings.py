"""Every setting of a run does what its name says."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import accounts
import small
import tiny
from prefloop import rng
from prefloop.config import Checkpoint as Retention
from prefloop.config import ConfigError, Learn
from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner
from prefloop.losses.dpo import dpo
from prefloop.models.load import Loaded
from prefloop.models.transformer import TransformerPolicy
from prefloop.runs import Given
from prefloop.runs.checkpoints import Checkpoints, size_gb
from prefloop.runs.folder import FolderError
from prefloop.runs.main import NAMES, best_round
from prefloop.store.ledger import Ledger
from prefloop.types import Missing, Response


class TestLearning:
    """What a round starts from, is compared with and learns from."""

    def test_from_pi0_on_all_rows_is_one_fit_of_the_initial_model(
        self, model: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "run"
        settings = {"learn.init_from": "pi0", "learn.data": "all", "learn.optimizer": "fresh"}
        small.small_run(model, folder, settings)
        reader = Ledger.open(folder / "ledger.sqlite")
        rows = [*reader.preferences(1), *reader.preferences(2)]
        ref = reader.logps("pi0", [r.id for row in rows for r in (row.query.a, row.query.b)])
        reader.close()
        fresh = TransformerPolicy(
            Loaded(small.network().train(), tiny.tokenizer(), torch.device("cpu"), 64)
        )
        learn = Learn(lr=1e-2, batch=4, epochs=2, precision="float32")
        learner = Learner(fresh, dpo, learn)
        list(learner.steps(rows, Facts(ref=ref), learner.plan(rows, 0, 2)))
        left = load_file(folder / "policy/model.safetensors")
        for name, tensor in fresh.model.state_dict().items():
            assert torch.equal(left[name], tensor), name

    def test_against_the_previous_policy_begins_every_round_at_ln_2(
        self, model: str, tmp_path: Path
    ) -> None:
        metrics = small.small_run(model, tmp_path / "a", {"learn.reference": "previous"}).metrics
        for line in metrics[1:]:
            assert line["loss_first"] == pytest.approx(log(2), abs=1e-5)
            assert line["loss_expected_first"] == pytest.approx(log(2), abs=1e-12)

    def test_against_pi0_begins_only_the_first_round_there(self, undisturbed: Path) -> None:
        first, second = accounts.metrics(undisturbed)[1:]
        assert first["loss_first"] == pytest.approx(log(2), abs=1e-5)
        assert abs(second["loss_first"] - log(2)) > 1e-3
        assert second["loss_expected_first"] is None

    @pytest.mark.parametrize(
        ("data", "rows"), [("latest", [8, 8, 8]), ("all", [8, 16, 24]), ("window", [8, 16, 16])]
    )
    def test_looks_back_as_far_as_it_is_told(
        self, data: str, rows: list[int], model: str, tmp_path: Path
    ) -> None:
        settings = {"rounds": 3, "learn.data": data, "learn.window": 2, "learn.epochs": 1}
        metrics = small.small_run(model, tmp_path / "a", settings).metrics
        assert [line["rows"] for line in metrics[1:]] == rows

    @pytest.mark.parametrize(("optimizer", "steps"), [("keep", 8), ("fresh", 4)])
    def test_keeps_its_moments_between_rounds_or_begins_them_afresh(
        self, optimizer: str, steps: int, model: str, tmp_path: Path
    ) -> None:
        small.small_run(model, tmp_path / "a", {"learn.optimizer": optimizer})
        moments = load_file(tmp_path / "a/checkpoints/round-0002/optimizer.safetensors")
        taken = {float(value) for name, value in moments.items() if name.startswith("step/")}
        assert taken == {steps}

    @pytest.mark.parametrize("reference", ["pi0", "previous"])
    def test_computes_the_reference_of_a_response_once(
        self, reference: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usual, computed = Ledger.add_logps, Counter[tuple[str, str]]()

        def add_logps(ledger: Ledger, model: str, values: dict[str, float]) -> None:
            computed.update((model, name) for name in values)
            usual(ledger, model, values)

        monkeypatch.setattr(Ledger, "add_logps", add_logps)
        settings = {"rounds": 3, "learn.data": "all", "learn.reference": reference}
        small.small_run(model, tmp_path / "run", settings)
        assert set(computed.values()) == {1}
        trained = {name for which, name in computed if which == "pi0" and name[0] == "r"}
        assert len(trained) == (48 if reference == "pi0" else 16)

    @pytest.mark.parametrize("resident", [True, False])
    def test_is_the_same_whether_the_reference_stays_in_memory_or_not(
        self, resident: bool, model: str, undisturbed: Path, tmp_path: Path
    ) -> None:
        small.small_run(model, tmp_path / "run", {"learn.resident": resident})
        accounts.same(tmp_path / "run", undisturbed)


@pytest.fixture(scope="module")
def adapted(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with adapters."""
    folder = tmp_path_factory.mktemp("lora") / "run"
    small.small_run(model, folder, {"model.adapter": "lora", "model.lora_rank": 4})
    return folder


class TestAdapters:
    """LoRA: a small part is trained, the rest is the reference."""

    def test_alone_are_trained_and_kept(self, adapted: Path) -> None:
        kept = load_file(adapted / "checkpoints/round-0002/weights.safetensors")
        assert kept and all("lora_" in name for name in kept)
        assert all(tensor.abs().max() > 0 for tensor in kept.values())

    def test_begin_at_the_reference_which_is_the_model_without_them(self, adapted: Path) -> None:
        first, second = accounts.metrics(adapted)[1:]
        assert first["loss_first"] == pytest.approx(log(2), abs=1e-5)
        assert abs(second["loss_first"] - log(2)) > 1e-4

    def test_are_merged_in_the_policy_that_anyone_can_load(self, adapted: Path, model: str) -> None:
        merged = AutoModelForCausalLM.from_pretrained(adapted / "policy")
        kept = load_file(adapted / "checkpoints/round-0002/weights.safetensors")
        plain = small.network().state_dict()
        for name, tensor in merged.state_dict().items():
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            a, b = (kept.get(f"{stem}.lora_{side}.default.weight") for side in "AB")
            whole = plain[name] if a is None or b is None else plain[name] + 32 / 4 * b @ a
            torch.testing.assert_close(tensor, whole, rtol=1e-5, atol=1e-6, msg=name)
        assert (merged.state_dict()["model.norm.weight"] == plain["model.norm.weight"]).all()

    def test_move_the_policy(self, adapted: Path) -> None:
        before, after = accounts.metrics(adapted)[0], accounts.metrics(adapted)[2]
        assert before["kl"] == pytest.approx(0.0, abs=1e-5)
        assert after["kl"] > 0.01


class TestLimits:
    """A run ends before its last round, and does not go on by itself."""

    def test_of_kl_end_it_and_a_higher_one_lets_it_go_on(
        self, model: str, undisturbed: Path, tmp_path: Path
    ) -> None:
        folder, low = tmp_path / "run", {"limits.kl": 1e-3}
        for _ in range(2):
            found = small.small_run(model, folder, low)
            assert (found.status, len(found.metrics)) == ("limit", 2)
        assert small.small_run(model, folder, {"limits.kl": 1e3}).status == "finished"
        accounts.same(folder, undisturbed)

    def test_of_the_disk_end_it_and_refuse_to_start_it_again(
        self, model: str, undisturbed: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "run"
        found = small.small_run(model, folder, {"checkpoint.disk_gb": 2.5e-4})
        assert (found.status, len(found.metrics)) == ("limit", 1)
        less = {"checkpoint.disk_gb": size_gb(folder) / 2}
        with pytest.raises(FolderError, match=r"GB, more than checkpoint.disk_gb=.*; raise it"):
            small.small_run(model, folder, less)
        assert small.small_run(model, folder).status == "finished"
        accounts.same(folder, undisturbed)


class TestRetention:
    """Which checkpoints stay."""

    @pytest.mark.parametrize(
        ("every", "keep", "best", "stay"),
        [
            (1, 2, None, [9, 10]),
            (1, 2, 3, [3, 9, 10]),
            (3, 2, None, [6, 9, 10]),
            (5, 1, 2, [2, 10]),
            (1, 99, None, [*range(1, 11)]),
            (20, 1, None, [10]),
        ],
    )
    def test_keeps_the_spaced_ones_the_best_and_always_the_newest(
        self, every: int, keep: int, best: int | None, stay: list[int], tmp_path: Path
    ) -> None:
        kept = Checkpoints(tmp_path, Retention(every=every, keep=keep))
        fill(tmp_path, range(1, 11))
        kept.prune(last=10, best=best)
        assert kept.rounds() == stay

    def test_as_rounds_go_by_ends_the_same(self, tmp_path: Path) -> None:
        kept = Checkpoints(tmp_path, Retention(every=3, keep=2))
        for round in range(1, 11):
            fill(tmp_path, [round])
            kept.prune(last=round, best=2 if round > 1 else 1)
        assert kept.rounds() == [2, 6, 9, 10]

    def test_leaves_what_is_newer_than_the_last_whole_round(self, tmp_path: Path) -> None:
        kept = Checkpoints(tmp_path, Retention(keep=1))
        fill(tmp_path, [1, 2, 3])
        (tmp_path / "round-0003-partial").mkdir()
        kept.prune(last=2, best=None)
        assert kept.rounds() == [2, 3]
        assert (tmp_path / "round-0003-partial").exists()

    def test_clears_away_what_a_kill_left(self, tmp_path: Path) -> None:
        kept = Checkpoints(tmp_path, Retention())
        fill(tmp_path, [1])
        for litter in ("round-0001-partial", "round-0001.part", "round-0000.doomed"):
            (tmp_path / litter).mkdir()
        kept.prune(last=1, best=None)
        assert [path.name for path in tmp_path.iterdir()] == ["round-0001"]

    def test_of_a_run_keeps_its_best_round_beside_its_last(
        self, model: str, tmp_path: Path
    ) -> None:
        folder, settings = tmp_path / "run", {"rounds": 4, "learn.epochs": 1}
        small.small_run(model, folder, settings, gold=Second())
        assert Checkpoints(folder / "checkpoints", Retention()).rounds() == [2, 4]
        for name, round in (("best", 2), ("policy", 4)):
            left = load_file(folder / name / "model.safetensors")
            kept = load_file(folder / f"checkpoints/round-{round:04d}/weights.safetensors")
            assert all(torch.equal(left[key], tensor) for key, tensor in kept.items())


class Second:
    """A gold reward that the policy of round 2 has the most of."""

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        return [-abs(r.policy_version - 2.0) for r in responses]


def fill(folder: Path, rounds: Iterable[int]) -> None:
    """Checkpoint folders of these rounds."""
    for round in rounds:
        (folder / f"round-{round:04d}").mkdir()


def test_the_best_round_is_golds_then_the_proxys_then_that_of_agreement() -> None:
    line = lambda round, **numbers: {"round": round, **numbers}
    gold = [
        line(0, gold_reward_mean=9.0),
        line(1, gold_reward_mean=1.0, proxy_reward_mean=5.0),
        line(2, gold_reward_mean=2.0, proxy_reward_mean=4.0),
        line(3, gold_reward_mean=None, proxy_reward_mean=6.0),
    ]
    assert best_round(gold) == 2, "round 0 is no trained policy"
    proxy = [{**m, "gold_reward_mean": None} for m in gold]
    assert best_round(proxy) == 3
    assert best_round([line(0), line(1, eval_accuracy=0.4), line(2, eval_accuracy=0.6)]) == 2
    assert best_round([line(0), line(1)]) is None


def test_a_proxys_best_round_is_one_of_the_last_phase_and_golds_of_any() -> None:
    """Another phase may have been scored by another reward model; gold is the same throughout."""
    line = lambda round, phase, proxy, gold: {
        "round": round,
        "phase": phase,
        "proxy_reward_mean": proxy,
        "gold_reward_mean": gold,
    }
    lines = [
        line(1, "policy 1", 9.0, 1.0),
        line(2, "policy 1", 8.0, 4.0),
        line(3, "policy 2", 2.0, 2.0),
        line(4, "policy 2", 1.0, 3.0),
    ]
    assert best_round(lines) == 2
    assert best_round([{**line, "gold_reward_mean": None} for line in lines]) == 3


PROMISED = """
round, labels_total, labels_missing, proxy_reward_mean, gold_reward_mean, gold_reward_std, kl,
win_rate, win_rate_low, win_rate_high, response_length_mean, perplexity_ref, logp_chosen,
logp_rejected, tokens_generated, tokens_trained, seconds_sample, seconds_ask, seconds_learn,
seconds_measure
"""
"""what every line of metrics.jsonl has at least"""


class TestMetrics:
    """One object a round."""

    def test_have_every_promised_name_in_every_round(self, undisturbed: Path) -> None:
        lines = (undisturbed / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert [row["round"] for row in rows] == [0, 1, 2]
        promised = set(re.findall(r"\w+", PROMISED))
        assert promised <= set(NAMES)
        for row in rows:
            assert promised <= set(row)
        for name in promised:
            assert rows[2][name] is not None, name

    def test_kl_is_of_the_whole_law_however_samples_are_cut(
        self, model: str, tmp_path: Path
    ) -> None:
        settings = {"rounds": 1, "sample.temperature": 0.7, "sample.top_p": 0.6}
        line = small.small_run(model, tmp_path / "run", settings).metrics[1]
        ledger = Ledger.open(tmp_path / "run" / "ledger.sqlite")
        drawn, shown = ledger.responses(1, "kl"), ledger.responses(1, "eval")
        names = [r.id for r in drawn]
        own, start = ledger.logps("round 1", names), ledger.logps("pi0", names)
        ledger.close()
        assert line["kl"] == pytest.approx(sum(own[n] - start[n] for n in names) / len(names))
        assert all(r.logp_sampling == pytest.approx(r.logp, abs=1e-4) for r in drawn)
        assert any(r.logp_sampling != pytest.approx(r.logp, abs=0.1) for r in shown)

    def test_of_rounds_between_measurements_are_null_where_nothing_was_measured(
        self, model: str, tmp_path: Path
    ) -> None:
        settings = {"rounds": 3, "measure.every": 2, "learn.epochs": 1}
        metrics = small.small_run(model, tmp_path / "run", settings).metrics
        assert [m["kl"] is None for m in metrics] == [False, True, False, False]
        assert all(m["logp_chosen"] is not None for m in metrics[1:])

    def test_are_sent_to_tensorboard(self, model: str, tmp_path: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        folder = tmp_path / "run"
        small.small_run(model, folder, {"track.tensorboard": True})
        events = EventAccumulator(str(folder / "tensorboard"))
        events.Reload()
        shown = {event.step: event.value for event in events.Scalars("kl")}
        expected = {m["round"]: m["kl"] for m in accounts.metrics(folder)}
        assert shown == pytest.approx(expected, rel=1e-6)


def test_every_draw_has_a_random_stream_of_its_own(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str | int, ...]] = []

    def stream(seed: int, *names: str | int) -> np.random.Generator:
        drawn.append(names)
        return rng.stream(seed, *names)

    for verb in ("sample", "choose", "measure"):
        monkeypatch.setattr(f"prefloop.runs.{verb}.stream", stream)
    settings = {"sample.sources": {"policy": 2, "reference": 1}, "learn.epochs": 1}
    small.small_run(model, tmp_path / "run", settings)
    draws = [names for names in drawn if names[0] != "prompts"]
    assert len(draws) == len(set(draws)) == 2 * (2 * 2 + 8) + 3 * 2


class TestEvaluationPrompts:
    """None is ever trained on."""

    def test_that_are_training_prompts_are_refused(self, model: str, tmp_path: Path) -> None:
        data = Given(prompts=small.PROMPTS, eval_prompts=[*small.HELD, small.PROMPTS[3]])
        with pytest.raises(
            ConfigError, match=r"1 evaluation prompts are also training prompts.*'the score is'"
        ):
            small.small_run(model, tmp_path / "run", data=data)

    def test_are_taken_from_the_training_prompts_where_none_are_given(
        self, model: str, tmp_path: Path
    ) -> None:
        prompts = [f"{thing} number {i}" for thing in small.THINGS for i in range(5)]
        settings = {"rounds": 1, "sample.prompts": None, "learn.epochs": 1}
        small.small_run(model, tmp_path / "run", settings, data=Given(prompts=prompts))
        names = accounts.ledger(tmp_path / "run")["responses"]
        of = lambda kind: {row[1] for row in names if row[0].startswith(kind)}
        assert of("r1.") and of("eval1.") and not of("r1.") & of("eval1.")
        assert len(of("r1.")) + len(of("kl1.")) <= len(prompts)


@pytest.mark.parametrize("missing", ["prompts", "oracle", "scorer"])
def test_what_a_run_cannot_do_without_is_named_before_anything_is_done(
    missing: str, model: str, tmp_path: Path
) -> None:
    says = {
        "prompts": r"phase 'online' needs data\.prompts; give it a file",
        "oracle": r"phase 'online' needs ask\.oracle: who says which response is better",
        "scorer": r"best_worst ranks candidates, but explore\.scorer is not set",
    }[missing]
    given: dict[str, Any] = {"data" if missing == "prompts" else missing: None}
    with pytest.raises(ConfigError, match=says):
        small.small_run(model, tmp_path / "run", **given)
