"""Whatever happens to a run folder, the error says what to do, and nothing paid for is lost."""

import re
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
import yaml

import accounts
import small
from prefloop.config import ConfigError
from prefloop.runs import Given
from prefloop.runs.folder import FolderError
from prefloop.runs.summary import _examples
from prefloop.store.ledger import Ledger, LedgerError


@pytest.fixture
def half(model: str, tmp_path: Path) -> Path:
    """A run that stopped in the middle of its second round, after asking."""
    folder = tmp_path / "half"
    point = ("prefloop.store.ledger:Ledger.finish", (2, "ask"), "after", signal.SIGTERM)
    assert small.elsewhere(small.signalled_at, *point, small.small_run, model, folder) == 0
    return folder


class TestAnotherConfig:
    """A continued run is the same run."""

    @pytest.mark.parametrize(
        ("key", "old", "new"),
        [
            ("learn.lr", 0.01, 0.02),
            ("seed", 0, 1),
            ("sample.prompts", 8, 7),
            ("learn.loss.beta", None, 0.3),
            ("recipe", "online_dpo", "iterative_dpo"),
        ],
    )
    def test_is_refused_with_the_setting_its_old_and_its_new_value(
        self, key: str, old: object, new: object, model: str, half: Path
    ) -> None:
        before = accounts.ledger(half)
        given = {"recipe": new} if key == "recipe" else {}
        with pytest.raises(ConfigError, match=f"{key}: was {old!r}, now {new!r}"):
            small.small_run(model, half, {} if given else {key: new}, **given)
        assert accounts.ledger(half) == before

    def test_is_no_obstacle_once_the_setting_is_put_back(
        self, model: str, half: Path, undisturbed: Path
    ) -> None:
        with pytest.raises(ConfigError, match="put them back"):
            small.small_run(model, half, {"learn.epochs": 3})
        small.small_run(model, half)
        accounts.same(half, undisturbed)

    def test_of_settings_that_change_no_number_is_taken(
        self, model: str, half: Path, undisturbed: Path
    ) -> None:
        small.small_run(model, half, {"checkpoint.keep": 3, "measure.examples": 2})
        assert accounts.ledger(half) == accounts.ledger(undisturbed)
        assert (half / "checkpoints/round-0001").exists()

    def test_that_never_started_a_run_does_not_bind_the_next(
        self, model: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match=r"model\.path"):
            small.small_run(str(tmp_path / "no model"), tmp_path / "run")
        assert small.small_run(model, tmp_path / "run", {"rounds": 1}).status == "finished"

    @pytest.mark.parametrize("changed", ["prompts", "evaluation prompts", "model"])
    def test_includes_other_prompts_and_another_model_under_the_same_name(
        self, changed: str, half: Path, model: str, undisturbed: Path, tmp_path: Path
    ) -> None:
        train, held, path = list(small.PROMPTS), list(small.HELD), model
        if changed == "prompts":
            train[0] = "another prompt"
        if changed == "evaluation prompts":
            held[0] = "another prompt"
        kept = tmp_path / "kept"
        if changed == "model":
            copytree(model, kept)
            small.llama(Path(model), seed=1)
        try:
            with pytest.raises((FolderError, ConfigError), match=r"changed since .*put them back"):
                small.small_run(path, half, data=Given(prompts=train, eval_prompts=held))
        finally:
            if changed == "model":
                rmtree(model)
                copytree(kept, model)
        small.small_run(model, half)
        accounts.same(half, undisturbed)


class TestMoreRounds:
    """`rounds` may be raised."""

    def test_end_where_a_run_that_was_to_have_them_from_the_start_ends(
        self, model: str, tmp_path: Path
    ) -> None:
        long, grown = tmp_path / "long", tmp_path / "grown"
        settings = {
            "measure.every": 2,
            "learn.schedule": "cosine",
            "learn.warmup": 0.3,
            "learn.optimizer": "keep",
        }
        small.small_run(model, long, {**settings, "rounds": 3})
        small.small_run(model, grown, {**settings, "rounds": 1})
        small.small_run(model, grown, {**settings, "rounds": 3})
        mine, theirs = accounts.weights(grown / "policy"), accounts.weights(long / "policy")
        assert mine.keys() == theirs.keys() and mine
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)
        one, two = accounts.ledger(grown), accounts.ledger(long)
        assert one["answers"] == two["answers"]
        assert {r for r in one["responses"] if r not in two["responses"]} == {
            r for r in one["responses"] if r[0].startswith(("eval1.", "kl1."))
        }, "the round that was the last one has been measured, and nothing else differs"

    def test_cannot_be_taken_back(self, model: str, half: Path, undisturbed: Path) -> None:
        small.small_run(model, half)
        with pytest.raises(ConfigError, match=r"2 rounds .* done.*rounds=1"):
            small.small_run(model, half, {"rounds": 1})
        accounts.same(half, undisturbed)


class TestDamage:
    """Each kind of damage has its sentence, and is survived once it is undone."""

    @pytest.mark.parametrize(
        ("file", "harm", "error", "says"),
        [
            ("config.yaml", "garbled", FolderError, r"config.yaml is damaged .*restore"),
            ("config.yaml", "emptied", FolderError, r"config.yaml is damaged .*restore"),
            ("config.yaml", "removed", FolderError, r"config.yaml is damaged .*restore"),
            ("ledger.sqlite", "garbled", LedgerError, r"ledger.sqlite cannot be used .*Restore"),
            ("ledger.sqlite", "cut", LedgerError, r"ledger.sqlite cannot be used .*Restore"),
            ("ledger.sqlite", "no database", LedgerError, r"ledger.sqlite cannot be used"),
            (
                "checkpoints/round-0001/weights.safetensors",
                "garbled",
                FolderError,
                r"round-0001 cannot be used: weights.safetensors does not match.*Restore",
            ),
            (
                "checkpoints/round-0001/optimizer.safetensors",
                "cut",
                FolderError,
                r"round-0001 cannot be used: optimizer.safetensors does not match.*Restore",
            ),
            (
                "checkpoints/round-0001/weights.safetensors",
                "removed",
                FolderError,
                r"round-0001 cannot be used: .*No such file.*Restore",
            ),
            (
                "checkpoints/round-0001/manifest.json",
                "cut",
                FolderError,
                r"round-0001 cannot be used: .*Restore",
            ),
        ],
    )
    def test_is_told_and_survived_when_undone(
        self,
        file: str,
        harm: str,
        error: type[Exception],
        says: str,
        model: str,
        half: Path,
        undisturbed: Path,
    ) -> None:
        sound = (half / file).read_bytes()
        HARMS[harm](half / file)
        with pytest.raises(error, match=says):
            small.small_run(model, half)
        (half / file).write_bytes(sound)
        small.small_run(model, half)
        accounts.same(half, undisturbed)
        assert not accounts.twice(small.Clerk(book=half.with_suffix(".asked")).asked())

    def test_of_the_newest_checkpoint_leaves_the_labels_to_be_exported(self, half: Path) -> None:
        HARMS["garbled"](half / "checkpoints/round-0001/weights.safetensors")
        reader = Ledger.open(half / "ledger.sqlite")
        assert len(reader.preferences(1)) == 8
        reader.close()

    def test_of_a_ledger_from_another_version_is_not_touched(self, model: str, half: Path) -> None:
        with sqlite3.connect(half / "ledger.sqlite") as db:
            db.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
        db.close()
        with pytest.raises(LedgerError, match=r"has schema 999, this prefloop reads \d+"):
            small.small_run(model, half)


HARMS: dict[str, Callable[[Path], object]] = {
    "garbled": lambda p: p.write_bytes(garbled(p.read_bytes())),
    "cut": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "emptied": lambda p: p.write_bytes(b""),
    "removed": lambda p: p.unlink(),
    "no database": lambda p: p.write_text("these are the ledger's notes\n" * 400),
}


def garbled(content: bytes) -> bytes:
    """The same with its middle overwritten."""
    third = len(content) // 3
    return content[:third] + b"\xde\xad: [" * (third // 5) + content[third + third // 5 * 5 :]


class TestNoRoom:
    """A full disk stops a run with a sentence; with room again it goes on to the same end."""

    def test_for_the_folder(self, model: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(FolderError, match=r"cannot write to .*file/run.*--out"):
            small.small_run(model, tmp_path / "file" / "run")

    @pytest.mark.parametrize("round", [1, 2])
    def test_for_the_ledger(
        self, round: int, model: str, undisturbed: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        folder, usual = tmp_path / "run", Ledger.add_queries

        def fill(ledger: Ledger, number: int, *rest: Any) -> None:
            if number == round:
                with ledger._engine.begin() as db:
                    pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
                    db.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            usual(ledger, number, *rest)

        monkeypatch.setattr(Ledger, "add_queries", fill)
        with pytest.raises(LedgerError, match=r"ledger.sqlite cannot grow .*full.*same command"):
            small.small_run(model, folder)
        monkeypatch.undo()
        small.small_run(model, folder)
        accounts.same(folder, undisturbed)

    @pytest.mark.parametrize("file", ["a checkpoint", "the policy"])
    def test_for_a_file(
        self, file: str, model: str, undisturbed: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        folder = tmp_path / "run"
        name = "checkpoints:save_file" if file == "a checkpoint" else "main:save"
        assert small.elsewhere(cramped, name, model, folder) == 3
        small.small_run(model, folder)
        accounts.same(folder, undisturbed)
        assert not accounts.twice(small.Clerk(book=folder.with_suffix(".asked")).asked())


def cramped(name: str, model: str, folder: Path) -> None:
    """The small run, on a disk where no file may grow when `name` is called; exits with 3 then."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    small.on_call(f"prefloop.runs.{name}", 2 if "save_file" in name else 1, "before", limit)
    try:
        small.small_run(model, folder)
    except FolderError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        if re.search(r"cannot write .*(round-0001|policy): .*Free some space", str(error)):
            raise SystemExit(3) from None
        raise


@pytest.fixture(params=["blue 50%", "a#b?c", "süß", "two words & 'quotes'"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder with a name that a URL could not hold."""
    yield tmp_path / str(request.param)


def test_a_folder_may_have_any_name(odd: Path, model: str, undisturbed: Path) -> None:
    small.small_run(model, odd)
    accounts.same(odd, undisturbed)


def test_the_folder_says_what_it_is(undisturbed: Path) -> None:
    config = yaml.safe_load((undisturbed / "config.yaml").read_text())
    assert config["learn"]["lr"] == 0.01
    assert config["learn"]["loss"] == {"name": "dpo"}
    versions = (undisturbed / "versions.json").read_text()
    assert all(name in versions for name in ("torch", "transformers", "prefloop", "python"))


def test_examples_are_of_the_last_round_that_was_measured(model: str, tmp_path: Path) -> None:
    """A run that stopped in between has them too, each with its own gold reward."""
    settings = {"rounds": 4, "measure.every": 2, "learn.epochs": 1}
    found = small.small_run(model, tmp_path / "run", settings)
    ledger = Ledger.open(tmp_path / "run" / "ledger.sqlite")
    shown = _examples(ledger, found.metrics[:4], 3)
    before, after = ledger.responses(0, "eval"), ledger.responses(2, "eval")
    gold = ledger.scores("gold", [r.id for r in (*before, *after)])
    ledger.close()
    assert [(x.before, x.after) for x in shown] == [
        (a.text, b.text) for a, b in zip(before[:3], after[:3], strict=True)
    ]
    assert [(x.score_before, x.score_after) for x in shown] == [
        (gold[a.id], gold[b.id]) for a, b in zip(before[:3], after[:3], strict=True)
    ]
