"""The ledger gives back what it was given, takes a thing once, and takes all of it or nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from prefloop.store.ledger import Ledger, LedgerError
from prefloop.types import Answer, Missing, Preference, Prompt, Query, Response

CHAT = ({"role": "user", "content": "how do you do?"},)
PLAIN = Prompt(text="the film — ‘süß’ 🎬", tokens=(1, 2, 70_000), meta={"lang": "de", "n": [1]})
SPOKEN = Prompt(text="User: how do you do?", messages=CHAT, tokens=(4,))


def response(name: str, prompt: Prompt = PLAIN, **fields: Any) -> Response:
    """A response with that name."""
    return Response(prompt=prompt, **{"text": name, "id": name, "tokens": (5, 6), **fields})


FIRST = response(
    "r1.0.0",
    text=" is\n‘good’",
    tokens=(5, 2_000_000_000),
    logp=-1.2345678901234567,
    logp_sampling=-1e-300,
    source="reference",
    policy_version=3,
    finished=False,
    desirable=False,
    seed="0/1",
)
SECOND = response("r1.0.1", desirable=True)
OTHERS = (response("r1.1.0", SPOKEN), response("r1.1.1", SPOKEN))
QUERIES = (
    Query(prompt=PLAIN, a=SECOND, b=FIRST, id="r1.0.1-0"),
    Query(prompt=SPOKEN, a=OTHERS[0], b=OTHERS[1], id="r1.1.0-1"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    made = Ledger.create(path)
    yield made
    made.close()


def draw(ledger: Ledger, drawn: tuple[Response, ...], chunk: int = 0, **changes: Any) -> None:
    """Commit responses as a chunk of round 1."""
    how = {"version": 1, "settings": {}, "seed": "0", "seconds": 0.5, "template": "plain"}
    ledger.add_draw(1, changes.pop("purpose", "train"), chunk, drawn, **{**how, **changes})


@pytest.fixture
def asked(ledger: Ledger) -> Ledger:
    """A ledger with two queries, not answered yet."""
    draw(ledger, (FIRST, SECOND, *OTHERS))
    ledger.add_queries(1, QUERIES, {"queries": 2})
    return ledger


class TestRoundTrips:
    """What comes out is what went in, in the same order."""

    def test_of_responses_with_their_prompts(self, ledger: Ledger) -> None:
        draw(ledger, OTHERS, chunk=1)
        draw(ledger, (FIRST, SECOND))
        found = ledger.responses(1, "train")
        assert found == [FIRST, SECOND, *OTHERS]
        assert found[0].prompt.meta == PLAIN.meta
        assert ledger.responses(1, "train", chunk=1) == list(OTHERS)
        assert ledger.responses(1, "eval") == ledger.responses(2, "train") == []

    def test_of_a_prompt_cut_in_two_ways(self, ledger: Ledger) -> None:
        short = Prompt(text=PLAIN.text, tokens=(70_000,))
        draw(ledger, (response("a"), response("b", short)))
        assert [r.prompt.tokens for r in ledger.responses(1, "train")] == [PLAIN.tokens, (70_000,)]

    def test_of_queries_in_the_order_they_were_chosen(self, asked: Ledger) -> None:
        assert asked.queries(1) == list(QUERIES)
        assert asked.finished(1, "choose") == {"queries": 2}

    def test_of_answers_and_only_of_those_that_came(self, asked: Ledger) -> None:
        lost = Answer(query_id=QUERIES[0].id, p=Missing("timed out"), cost=0.0)
        asked.add_answers([lost, Answer(query_id=QUERIES[1].id, p=0.123456789012345678)])
        assert asked.preferences(1) == [Preference(query=QUERIES[1], p=0.123456789012345678)]
        assert asked.answered(1) == {QUERIES[1].id}
        assert asked.reasons([q.id for q in QUERIES]) == ["timed out"]
        asked.add_answers([Answer(query_id=QUERIES[0].id, p=0.0)])
        assert asked.preferences(1) == [
            Preference(query=QUERIES[0], p=0.0),
            Preference(query=QUERIES[1], p=0.123456789012345678),
        ], "in query order, whichever came first"
        assert asked.reasons([q.id for q in QUERIES]) == []

    def test_of_what_an_oracle_said_and_when(self, asked: Ledger, path: Path) -> None:
        said = Answer(
            query_id=QUERIES[0].id, p=0.5, raw='{"a": 1}', cost=0.25, oracle="judge 1.0",
            asked_at="2026-01-01T00:00:00+00:00",
        )  # fmt: skip
        asked.add_answers([said])
        with closing(sqlite3.connect(path)) as db:
            row = db.execute("SELECT query, p, raw, cost, oracle, asked_at FROM answers").fetchone()
        assert row == (said.query_id, 0.5, said.raw, 0.25, "judge 1.0", said.asked_at)

    @pytest.mark.parametrize("kind", ["logps", "scores"])
    def test_of_numbers_about_responses(self, kind: str, asked: Ledger) -> None:
        add, get = getattr(asked, f"add_{kind}"), getattr(asked, kind)
        exact = -123.45678901234567
        add("pi0", {"r1.0.0": exact, "r1.0.1": -2.0})
        add("round 1", {"r1.0.0": -3.0})
        add("pi0", {})
        assert get("pi0", ["r1.0.0", "r1.1.0"]) == {"r1.0.0": exact}
        assert get("round 1", ["r1.0.0", "r1.0.1"]) == {"r1.0.0": -3.0}

    def test_of_stages(self, ledger: Ledger) -> None:
        ledger.finish(2, "learn", {"loss": 0.1})
        ledger.finish(1, "learn", {"loss": None, "judges": {"vader": 0.3}})
        assert ledger.finished(1, "learn") == {"loss": None, "judges": {"vader": 0.3}}
        assert ledger.finished(1, "ask") is None
        assert ledger.details("learn") == [{"loss": None, "judges": {"vader": 0.3}}, {"loss": 0.1}]

    def test_survive_closing(self, asked: Ledger, path: Path) -> None:
        asked.close()
        with closing(Ledger.create(path)) as again, closing(Ledger.open(path)) as reader:
            assert again.queries(1) == reader.queries(1) == list(QUERIES)


class TestSums:
    """What it took."""

    def test_labels_are_counted_once_and_missing_ones_as_often_as_they_were(
        self, asked: Ledger
    ) -> None:
        one, two = (q.id for q in QUERIES)
        asked.add_answers([Answer(query_id=one, p=Missing("?"), cost=0.0)] * 2)
        asked.add_answers([Answer(query_id=one, p=1.0, cost=2.5), Answer(query_id=two, p=0.5)])
        assert asked.labels() == (2, 2)
        assert asked.spent() == 3.5

    @pytest.mark.parametrize("oracle", ["asserted", "unasked"])
    def test_what_a_run_told_itself_is_no_label(self, oracle: str, asked: Ledger) -> None:
        one, two = (q.id for q in QUERIES)
        own = Answer(query_id=one, p=1.0, cost=0.0, oracle=oracle)
        asked.add_answers([own, Answer(query_id=two, p=0.5)])
        assert asked.labels() == (1, 0)

    def test_a_label_free_of_charge_is_one(self, asked: Ledger) -> None:
        asked.add_answers([Answer(query_id=QUERIES[0].id, p=1.0, cost=0.0, oracle="a friend")])
        assert (asked.labels(), asked.spent()) == ((1, 0), 0.0)

    def test_tokens_of_ready_made_responses_were_not_generated(self, ledger: Ledger) -> None:
        ready = response("r1.5.0", tokens=(1,) * 50, source="dataset")
        draw(ledger, (FIRST, ready), seconds=0.5)
        draw(ledger, OTHERS, chunk=1, seconds=0.25)
        draw(ledger, (response("eval1.0.0"),), purpose="eval")
        assert ledger.drawing(1) == (6, 0.75)

    def test_of_nothing_are_nothing(self, ledger: Ledger) -> None:
        assert ledger.drawing(1) == (0, 0.0)
        assert (ledger.labels(), ledger.spent()) == ((0, 0), 0.0)

    def test_prompts_that_were_trained_on_and_measured_by_are_found(self, ledger: Ledger) -> None:
        draw(ledger, (FIRST, *OTHERS))
        draw(ledger, (response("eval1.0.0", Prompt(text="x", tokens=(1,))),), purpose="eval")
        assert ledger.shared_prompts("train", "eval") == 0
        recut = Prompt(text=PLAIN.text, tokens=(3,))
        draw(ledger, (response("eval1.1.0", recut),), chunk=1, purpose="eval")
        assert ledger.shared_prompts("train", "eval") == 1, "by what was asked, not by its tokens"


class TestOnce:
    """A thing is committed once; a second time is a mistake, and changes nothing."""

    def test_is_a_chunk(self, ledger: Ledger) -> None:
        draw(ledger, (FIRST,))
        with pytest.raises(IntegrityError):
            draw(ledger, (SECOND,))
        assert ledger.responses(1, "train") == [FIRST]
        assert ledger.drawn(1, "train", 0) and not ledger.drawn(1, "train", 1)

    def test_is_a_response(self, ledger: Ledger) -> None:
        draw(ledger, (FIRST,))
        with pytest.raises(IntegrityError):
            draw(ledger, (SECOND, FIRST), chunk=1)
        assert ledger.responses(1, "train") == [FIRST], "the other one went with it"
        assert not ledger.drawn(1, "train", 1)

    def test_is_a_rounds_choice(self, asked: Ledger) -> None:
        with pytest.raises(IntegrityError):
            asked.add_queries(1, [], {})
        assert asked.queries(1) == list(QUERIES)

    def test_is_a_stage(self, ledger: Ledger) -> None:
        ledger.finish(1, "learn", {"loss": 1})
        with pytest.raises(IntegrityError):
            ledger.finish(1, "learn", {"loss": 2})
        assert ledger.finished(1, "learn") == {"loss": 1}

    def test_is_a_number_and_the_first_one_stays(self, asked: Ledger) -> None:
        asked.add_logps("pi0", {"r1.0.0": -1.0})
        asked.add_logps("pi0", {"r1.0.0": -2.0, "r1.0.1": -3.0})
        assert asked.logps("pi0", ["r1.0.0", "r1.0.1"]) == {"r1.0.0": -1.0, "r1.0.1": -3.0}


class TestAllOrNothing:
    """A commit is whole."""

    def test_are_answers_of_which_one_is_to_no_question(self, asked: Ledger) -> None:
        good = Answer(query_id=QUERIES[0].id, p=1.0)
        with pytest.raises(IntegrityError):
            asked.add_answers([good, Answer(query_id="nobody asked", p=1.0)])
        assert asked.preferences(1) == []

    def test_are_queries_of_which_one_names_an_unknown_response(self, asked: Ledger) -> None:
        stray = Query(prompt=PLAIN, a=FIRST, b=response("unknown"), id="q")
        good = Query(prompt=PLAIN, a=FIRST, b=SECOND, id="p")
        with pytest.raises(IntegrityError):
            asked.add_queries(2, [good, stray], {})
        assert asked.queries(2) == [] and asked.finished(2, "choose") is None


class TestTheFile:
    """What may be wrong with it, said in a sentence."""

    def test_that_is_not_there_is_not_made_by_a_reader(self, path: Path) -> None:
        with pytest.raises(LedgerError, match=r"there is no ledger at .*has this run started"):
            Ledger.open(path)
        assert not path.exists()

    def test_of_another_schema_is_named_and_left_as_it_is(self, ledger: Ledger, path: Path) -> None:
        ledger.close()
        with closing(sqlite3.connect(path)) as db:
            db.execute("UPDATE meta SET value = '2000'")
            db.execute("DROP TABLE scores")
            db.commit()
        for opened in (Ledger.create, Ledger.open):
            with pytest.raises(LedgerError, match=r"has schema 2000, this prefloop reads \d"):
                opened(path)
        with closing(sqlite3.connect(path)) as db:
            names = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
        assert "scores" not in names, "a newer prefloop's ledger is not this one's to mend"

    def test_whose_making_was_cut_short_is_finished(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE meta (key VARCHAR NOT NULL PRIMARY KEY, value VARCHAR)")
        with pytest.raises(LedgerError, match="schema None"):
            Ledger.open(path)
        with closing(Ledger.create(path)) as ledger:
            assert ledger.labels() == (0, 0)

    @pytest.mark.parametrize("harm", ["is another file", "has lost its end", "is garbled"])
    def test_that_is_damaged_is_refused(self, harm: str, asked: Ledger, path: Path) -> None:
        for i in range(2, 60):
            draw(asked, (response(f"r{i}", text="long " * 200),), chunk=i)
        asked.close()
        sound = path.read_bytes()
        third = len(sound) // 3
        path.write_bytes(
            {
                "is another file": b"%PDF-1.7" * 1000,
                "has lost its end": sound[: len(sound) // 2],
                "is garbled": sound[:third] + b"\xff" * third + sound[2 * third :],
            }[harm]
        )
        for opened in (Ledger.open, Ledger.create):
            with pytest.raises(LedgerError, match=r"cannot be used .*nothing was changed"):
                opened(path)

    def test_that_another_program_has_locked_says_so(self, ledger: Ledger, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with ledger._engine.begin() as db:
                db.exec_driver_sql("PRAGMA busy_timeout = 1")
            with pytest.raises(LedgerError, match=r"is locked by another program; close"):
                ledger.finish(1, "learn", {})
        ledger.finish(1, "learn", {})

    def test_that_cannot_grow_keeps_what_it_has(self, asked: Ledger) -> None:
        with asked._engine.begin() as db:
            pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
            db.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        big = tuple(response(f"big{i}", text="long " * 2000) for i in range(4))
        with pytest.raises(LedgerError, match=r"cannot grow .*all that was committed is safe"):
            draw(asked, big, chunk=9)
        assert asked.queries(1) == list(QUERIES)
        with asked._engine.begin() as db:
            db.exec_driver_sql("PRAGMA max_page_count = 100000")
        draw(asked, big, chunk=9)


def test_a_reader_sees_what_is_written_while_it_reads_and_cannot_write(
    ledger: Ledger, path: Path
) -> None:
    with closing(Ledger.open(path)) as reader:
        assert reader.finished(1, "learn") is None
        ledger.finish(1, "learn", {"loss": 1})
        assert reader.finished(1, "learn") == {"loss": 1}
        with pytest.raises(LedgerError, match="readonly"):
            reader.finish(2, "learn", {})


def test_only_a_commit_that_need_not_outlive_a_power_cut_skips_the_wait_for_the_disk(
    asked: Ledger,
) -> None:
    def level() -> int:
        with asked._engine.connect() as db:
            return int(db.exec_driver_sql("PRAGMA synchronous").scalar_one())

    asked.add_answers([Answer(query_id=QUERIES[0].id, p=1.0)], synced=False)
    assert level() == 1
    asked.add_answers([Answer(query_id=QUERIES[1].id, p=1.0)])
    assert level() == 2
    asked.add_answers([Answer(query_id=QUERIES[1].id, p=Missing("?"))], synced=False)
    asked.finish(1, "ask", {})
    assert level() == 2
