"""A tuned policy's implicit reward: two language models' log-probabilities of a response."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import small
import tiny
from prefloop import plugins, run
from prefloop.config import Learn
from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner, Plan
from prefloop.losses.dpo import dpo
from prefloop.models.load import Loaded
from prefloop.models.transformer import TransformerPolicy
from prefloop.oracles.implicit import Implicit
from prefloop.runs import Given
from prefloop.store.text import Encoder
from prefloop.types import Missing, Preference, Prompt, Query, Response

TEXTS = (" good", " a much longer answer, this", " bad", " x", "")
PROMPTS = (Prompt(text="the film is"), Prompt(text="it was"))
RESPONSES = [Response(prompt=prompt, text=text) for prompt in PROMPTS for text in TEXTS]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small.llama(tmp_path_factory.mktemp("tuned"), 1)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small.llama(tmp_path_factory.mktemp("start"))


def logp(path: str, response: Response) -> tuple[float, int]:
    """log π of one response on its own with transformers alone, and how many tokens it has."""
    ids = tiny.tokenizer()(response.prompt.text + response.text)["input_ids"]
    begins = len(tiny.tokenizer()(response.prompt.text)["input_ids"])
    whole = torch.tensor([[*ids, tiny.tokenizer().eos_token_id]])
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(path)(input_ids=whole).logits[0]
    each = logits.log_softmax(-1)[:-1].gather(1, whole[0, 1:, None])[begins - 1 :]
    return each.double().sum().item(), len(each)


@pytest.mark.parametrize("normalize", ["sum", "mean", "free", "free_mean"])
def test_it_is_beta_times_the_log_ratio_computed_by_hand(
    normalize: Any, tuned: str, start: str
) -> None:
    is_free = "free" in normalize
    expected = []
    for response in RESPONSES:
        (own, length), (before, _) = logp(tuned, response), logp(start, response)
        ratio = own - (0 if is_free else before)
        expected.append(0.3 * ratio / (length if "mean" in normalize else 1))
    scorer = Implicit(
        path=tuned, reference=None if is_free else start, beta=0.3, normalize=normalize
    )
    assert scorer.score(RESPONSES) == pytest.approx(expected, abs=1e-4)
    assert len({round(score, 3) for score in expected}) == len(RESPONSES)


@pytest.mark.parametrize("tokens", [1, 60])
def test_the_token_budget_changes_no_score(tokens: int, tuned: str, start: str) -> None:
    expected = Implicit(path=tuned, reference=start).score(RESPONSES)
    found = Implicit(path=tuned, reference=start, tokens=tokens).score(RESPONSES)
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_model_against_itself_prefers_nothing(start: str) -> None:
    assert Implicit(path=start, reference=start).score(RESPONSES) == [0.0] * len(RESPONSES)


def encoded() -> list[Response]:
    """The texts in the models' own tokens, the empty one not among them."""
    found = []
    for prompt in PROMPTS:
        ready, rows = Encoder(tiny.tokenizer(), context=64).encode(prompt, *TEXTS[:-1])
        found += [
            Response(prompt=ready, text=text, tokens=tokens, id=f"{prompt.text}{text}")
            for text, tokens in zip(TEXTS, rows, strict=False)
        ]
    return found


class TestTokens:
    """Whose tokens are read."""

    def test_those_of_the_same_tokenizer_are_read_untouched(self, tuned: str, start: str) -> None:
        scorer = Implicit(path=tuned, reference=start, reads=tiny.tokenizer())
        one = encoded()[0]
        assert scorer.score([replace(one, text="whatever")]) == scorer.score([one])
        assert scorer.score([replace(one, tokens=one.tokens[:-1])]) != scorer.score([one])

    def test_others_are_not(self, tuned: str, start: str) -> None:
        """Another tokenizer's numbers, or nobody knows whose: the texts say what is meant."""
        one = encoded()[0]
        moved = replace(one, tokens=tuple(token + 1 for token in one.tokens))
        expected = Implicit(path=tuned, reference=start, reads=tiny.tokenizer()).score([one])
        for reads in (None, tiny.tokenizer(tiny.CHAT)):
            assert Implicit(path=tuned, reference=start, reads=reads).score([moved]) == expected

    def test_a_run_says_whose_they_are(self, tuned: str, start: str) -> None:
        options = {"path": tuned, "reference": start}
        part = plugins.build("oracles", "implicit", options, reads=tiny.tokenizer())
        assert part._reader is None

    @pytest.mark.parametrize("reads", [None, tiny.tokenizer()])
    def test_a_response_that_is_too_long_has_no_score(
        self, reads: Any, tuned: str, start: str
    ) -> None:
        short, long = encoded()[0], replace(encoded()[0], text="x" * 60, tokens=(9,) * 60)
        scorer = Implicit(path=tuned, reference=start, reads=reads)
        missing, value = scorer.score([long, short])
        assert isinstance(missing, Missing) and isinstance(value, float)
        shorter = Implicit(path=tuned, reference=start, reads=reads, max_tokens=14)
        assert isinstance(shorter.score([short])[0], Missing)


class TestSigns:
    """Its differences have the signs that learning counts as right."""

    def test_a_step_reports_their_accuracy(self, tuned: str, start: str) -> None:
        answers = (0.1, 0.2, 0.5, 1.0)
        rows: list[Any] = []
        for number, (a, b) in enumerate(zip(encoded()[::2], encoded()[1::2], strict=True)):
            query = Query(prompt=a.prompt, a=a, b=b, id=str(number))
            rows.append(Preference(query=query, p=answers[number]))
        found = Implicit(path=tuned, reference=start).score(encoded())
        h = [a - b for a, b in zip(found[::2], found[1::2], strict=True)]
        right = [(x > 0) == (p >= 0.5) for x, p in zip(h, answers, strict=True)]
        assert 0 < sum(right) < len(right)
        ref = {r.id: logp(start, r)[0] for r in encoded()}
        settings = Learn(precision="float32")
        policy = TransformerPolicy(
            Loaded(small.network(1).train(), tiny.tokenizer(), torch.device("cpu"), 64)
        )
        step = next(
            Learner(policy, dpo, settings).steps(
                rows, Facts(ref=ref), Plan(batches=((0, 1, 2, 3),))
            )
        )
        assert step.means()["accuracy"] == sum(right) / len(right)

    def test_a_run_reports_their_agreement_with_held_out_labels(
        self, start: str, tmp_path: Path
    ) -> None:
        """Read off the two folders afterwards: the policy that a run leaves, and its start."""
        drawn = torch.Generator().manual_seed(0)
        word = lambda: "".join(map(chr, torch.randint(97, 123, (5,), generator=drawn).tolist()))
        pairs = [
            {"prompt": prompt, "chosen": f" {word()}", "rejected": f" {word()}"}
            for prompt in [*small.PROMPTS, *small.HELD]
            for _ in range(2)
        ]
        settings = {
            **small.SETTINGS,
            "model.path": start,
            "rounds": 1,
            "sample.sources": {"dataset": 2},
            "explore.rule": "on_policy",
            "measure.prompts": 8,
        }
        data = Given(preferences=pairs, eval_prompts=small.HELD)
        folder = run("dpo", tmp_path / "run", settings, data=data)
        scorer = Implicit(path=str(folder.policy), reference=start)
        sides = [
            scorer.score([Response(prompt=Prompt(text=p["prompt"]), text=p[side]) for p in held])
            for held in [[p for p in pairs if p["prompt"] in small.HELD]]
            for side in ("chosen", "rejected")
        ]
        right = [a > b for a, b in zip(*sides, strict=True)]
        assert 0 < sum(right) < len(right) == 8
        assert folder.metrics[-1]["eval_accuracy"] == sum(right) / len(right)


class TestErrors:
    """Settings that contradict each other, and models that do not belong together."""

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"beta": 0.0}, r"beta must be positive, got 0\.0"),
            ({"reference": None}, r"normalize=sum needs the model .* normalize to free"),
            ({"normalize": "free"}, r"normalize=free has no reference, got .* leave it out"),
            ({"path": "/nowhere"}, r"implicit's path '/nowhere' is no model that can be read"),
        ],
    )
    def test_are_refused(self, changes: Any, said: str, tuned: str, start: str) -> None:
        with pytest.raises(ValueError, match=said):
            Implicit(**{"path": tuned, "reference": start, **changes})

    def test_two_vocabularies_are_refused(self, tuned: str, tmp_path: Path) -> None:
        other = small.llama(tmp_path)
        more = tiny.tokenizer()
        more.add_tokens(["film"])
        network = small.network()
        network.resize_token_embeddings(len(more))
        network.save_pretrained(other)
        more.save_pretrained(other)
        with pytest.raises(ValueError, match=r"must write text in the same tokens"):
            Implicit(path=tuned, reference=other)
