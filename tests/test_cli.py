"""The command line: quick to answer, and every mistake is a sentence and exit code 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import accounts
import small
from prefloop.cli import app
from prefloop.store.files import read_rows

JUDGE = """
def shorter(queries):
    return [1.0 if len(q.a.text) < len(q.b.text) else 0.0 for q in queries]

def vowels(responses):
    return [float(sum(map(r.text.count, "aeiou"))) for r in responses]

def broken(queries):
    raise RuntimeError("no more coffee")
"""


def call(*arguments: str) -> Result:
    """`prefloop` with these arguments."""
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, prompts and a judge."""
    found = tmp_path_factory.mktemp("place")
    small.llama(found / "model")
    for name, prompts in (("prompts", small.PROMPTS), ("held", small.HELD)):
        rows = "".join(json.dumps({"prompt": p}) + "\n" for p in prompts)
        (found / f"{name}.jsonl").write_text(rows)
    (found / "judge_of_tests.py").write_text(JUDGE)
    return found


@pytest.fixture
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the working directory."""
    monkeypatch.chdir(place)
    return place


SETTINGS = [
    *(f"{key}={json.dumps(value)}" for key, value in small.SETTINGS.items()),
    "model.path=model",
    "data.prompts=prompts.jsonl",
    "data.eval_prompts=held.jsonl",
    "ask.oracle=judge_of_tests:shorter",
    "explore.scorer=judge_of_tests:vowels",
    "rounds=1",
]


@pytest.fixture(scope="module")
def done(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that the command line made."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    before = Path.cwd()
    os.chdir(place)
    try:
        result = call("run", "online_dpo", *SETTINGS, "--out", str(folder))
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return folder


def refused(result: Result) -> str:
    """The one sentence of an error: exit code 2, no traceback."""
    assert result.exit_code == 2, result.output
    said = (result.output + result.stderr).strip()
    assert "Traceback" not in said
    return said


class TestRun:
    """`prefloop run`."""

    def test_says_where_the_report_is(self, done: Path) -> None:
        assert (done / "report.html").exists()
        assert len(accounts.metrics(done)) == 2

    def test_again_has_nothing_to_do_and_says_so(self, done: Path, inside: Path) -> None:
        before = accounts.ledger(done)
        result = call("run", "online_dpo", *SETTINGS, "--out", str(done))
        assert result.exit_code == 0
        assert "finished" in result.output and "report.html" in result.output
        assert accounts.ledger(done) == before

    def test_takes_a_yaml_file(self, done: Path, inside: Path) -> None:
        """The run folder's own config.yaml, of all files, is the same run."""
        before = accounts.ledger(done)
        result = call("run", str(done / "config.yaml"), "--out", str(done))
        assert result.exit_code == 0, result.output
        assert accounts.ledger(done) == before

    def test_with_other_settings_says_which(self, done: Path, inside: Path) -> None:
        said = refused(call("run", "online_dpo", *SETTINGS, "learn.lr=0.5", "--out", str(done)))
        assert "learn.lr: was 0.01, now 0.5" in said

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["run", "online_dpo", "learn.lrr=1"], "did you mean 'lr'?"),
            (["run", "online_dpo", "lern.lr=1"], "did you mean 'learn'?"),
            (["run", "online_dpo", "learn.lr=fast"], "learn.lr"),
            (["run", "online_dpo", "learn.lr"], "settings look like learn.lr=1e-5"),
            (["run", "online_dpo", "learn.loss=dpoo"], "did you mean 'dpo'?"),
            (["run", "online_dpo", "learn.loss.betta=1"], "did you mean 'beta'?"),
            (["run", "online_dpp"], "did you mean 'online_dpo'?"),
            (["run", "no_such_file.yaml"], "no_such_file.yaml"),
            (["run", "dpo", "data.preferences=prompts.jsonl"], "needs two responses"),
            (["run", "dpo", "data.preferences=prompt.jsonl"], "did you mean prompts.jsonl?"),
            (["run", "dpo"], "needs data.preferences"),
            (["run", "dpo", "data.preferences=p", "model.path=nowhere"], "model.path 'nowhere'"),
            (["run", "dpo", "data.preferences=p", "model.device=abacus"], "auto finds one"),
            (["report", "nowhere"], "there is no ledger"),
            (["export", "nowhere", "--labels", "x.parquet"], "there is no ledger"),
            (["export", "nowhere", "--policy", "x"], "is no run folder"),
            (["export", "nowhere"], "--labels FILE.parquet"),
            (["list", "colours"], "there is no 'colours'"),
        ],
    )
    def test_says_what_was_wrong(
        self, arguments: list[str], says: str, inside: Path, tmp_path: Path
    ) -> None:
        out = ["--out", str(tmp_path / "run")] if arguments[0] == "run" else []
        if arguments[0] == "run" and "model.path=nowhere" not in arguments:
            out.append("model.path=model")
        assert says in refused(call(*arguments, *out))

    @pytest.mark.parametrize(
        ("oracle", "says"),
        [
            ("judge_of_tests:taller", "cannot load 'judge_of_tests:taller'"),
            ("no_judge:at_all", "cannot load 'no_judge:at_all'"),
            ("judge_of_tests:broken", "raised RuntimeError: no more coffee"),
        ],
    )
    def test_says_what_was_wrong_with_an_oracle(
        self, oracle: str, says: str, inside: Path, tmp_path: Path
    ) -> None:
        settings = [*SETTINGS, f"ask.oracle={oracle}"]
        said = refused(call("run", "online_dpo", *settings, "--out", str(tmp_path / "run")))
        assert says in said


class TestDryRun:
    """`prefloop run --dry-run`."""

    def test_says_what_would_be_done_and_writes_nothing(self, inside: Path) -> None:
        before = [p for p in sorted(inside.rglob("*")) if p.suffix != ".pyc"]
        result = call("run", "online_dpo", *SETTINGS, "--dry-run", "--out", "never")
        assert result.exit_code == 0, result.output
        for says in ("24 responses to draw", "8 labels", "4 steps of dpo", "memory", "disk"):
            assert says in result.output, says
        assert [p for p in sorted(inside.rglob("*")) if p.suffix != ".pyc"] == before

    def test_of_a_preference_file_needs_no_prompts(self, inside: Path, tmp_path: Path) -> None:
        rows = [{"prompt": p, "chosen": " good", "rejected": " bad"} for p in small.PROMPTS]
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
        settings = ["model.path=model", "model.threads=1", f"data.preferences={path}"]
        result = call("run", "dpo", *settings, "--dry-run")
        assert result.exit_code == 0, result.output
        assert "2 ready-made rows" in result.output
        shown = result.output.replace(" ", "")
        assert "thefilmis⟪response⟫good</s>" in shown, "the first example as the model sees it"

    def test_finds_the_same_mistakes(self, inside: Path) -> None:
        assert "needs data.prompts" in refused(
            call("run", "online_dpo", "model.path=model", "--dry-run")
        )


class TestExport:
    """`prefloop export` and `prefloop report`."""

    def test_labels_are_trls_columns(self, done: Path, tmp_path: Path) -> None:
        target = tmp_path / "labels.parquet"
        result = call("export", str(done), "--labels", str(target))
        assert (result.exit_code, "8 labels" in result.output) == (0, True)
        rows = list(read_rows(target))
        assert len(rows) == 8 and {"prompt", "chosen", "rejected", "p"} <= set(rows[0])
        assert all(len(row["chosen"]) <= len(row["rejected"]) for row in rows)

    def test_the_policy_is_a_hugging_face_folder(
        self, done: Path, inside: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "policy"
        result = call("export", str(done), "--policy", str(target))
        assert (result.exit_code, "round 1" in result.output) == (0, True)
        mine, theirs = accounts.weights(target), accounts.weights(done / "policy")
        assert mine.keys() == theirs.keys() and mine
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)

    def test_of_a_round_that_was_not_kept_says_which_were(self, done: Path, tmp_path: Path) -> None:
        said = refused(call("export", str(done), "--policy", str(tmp_path), "--round", "7"))
        assert "keeps the checkpoints of rounds [1], not of 7" in said

    def test_the_report_is_written_anew(self, done: Path) -> None:
        (done / "report.html").unlink()
        result = call("report", str(done))
        assert (result.exit_code, "report.html" in result.output) == (0, True)
        assert (done / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("command", ["--help", "run --help", "list", "list losses"])
def test_an_answer_at_once_imports_nothing_heavy(command: str) -> None:
    script = (
        "import sys; from prefloop.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'sqlalchemy', 'matplotlib', 'peft', 'pyarrow'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    command_line = [sys.executable, "-c", script, *command.split()]
    said = subprocess.run(command_line, capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith("HEAVY []"), said[-200:]
    assert "dpo" in said


def test_the_list_names_every_part_with_its_options_and_aliases() -> None:
    said = call("list").output
    for expected in ("ipo", "length_normalize=False", "= sigmoid", "best_worst", "online_dpo"):
        assert expected in said, expected
