"""Sequence-classification models from a folder, with their own tokenizer and template."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

import tiny
from models.families import build
from prefloop.models.load import Loaded
from prefloop.models.reward import RewardModel as Trained
from prefloop.models.transformer import TransformerPolicy
from prefloop.oracles._errors import OracleError
from prefloop.oracles.reward_model import RewardModel
from prefloop.store.text import Encoder
from prefloop.types import Missing, Prompt, Response
from worlds import response

RESPONSES = [response(text) for text in (" good", " a much longer answer, this", "", " bad", " x")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny.reward_model(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return tiny.reward_model(tmp_path_factory.mktemp("chat"), template=tiny.CHAT)


def by_hand(path: str, text: str) -> float:
    """The score of one text on its own, read with transformers alone."""
    model = AutoModelForSequenceClassification.from_pretrained(path)
    ids = torch.tensor([tiny.tokenizer()(text, add_special_tokens=False)["input_ids"]])
    return model(input_ids=ids).logits.item()


def test_a_padded_batch_scores_each_text_as_on_its_own(plain):
    scores = RewardModel(path=plain).score(RESPONSES)
    expected = [by_hand(plain, r.prompt.text + r.text) for r in RESPONSES]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert len(set(scores)) == len(RESPONSES)


@pytest.mark.parametrize("tokens", [1, 40, 100])
def test_the_token_budget_changes_no_score(plain, tokens):
    expected = RewardModel(path=plain).score(RESPONSES)
    assert RewardModel(path=plain, tokens=tokens).score(RESPONSES) == pytest.approx(
        expected, abs=1e-5
    )


def test_no_batch_is_larger_than_the_budget(plain, monkeypatch):
    seen = []
    model = RewardModel(path=plain, tokens=50)
    forward = model._model.forward
    monkeypatch.setattr(
        model._model, "forward", lambda **x: seen.append(x["input_ids"].shape) or forward(**x)
    )
    model.score(RESPONSES)
    assert len(seen) > 1 and all(rows * time <= 50 for rows, time in seen)


def test_a_chat_template_gives_the_prompt_to_the_user(chat):
    (score,) = RewardModel(path=chat).score([response(" good")])
    assert score == pytest.approx(
        by_hand(chat, "<user>the film is a</s><assistant> good</s>"), abs=1e-5
    )


def test_the_messages_of_a_chat_prompt_are_kept(chat):
    messages = ({"role": "user", "content": "hm"}, {"role": "assistant", "content": "hi"})
    messages += ({"role": "user", "content": "ok"},)
    (score,) = RewardModel(path=chat).score(
        [Response(prompt=Prompt(text="hm hi ok", messages=messages), text="no")]
    )
    text = "<user>hm</s><assistant>hi</s><user>ok</s><assistant>no</s>"
    assert score == pytest.approx(by_hand(chat, text), abs=1e-5)


def test_plain_text_can_be_asked_for(chat):
    (score,) = RewardModel(path=chat, template="plain").score([response(" good")])
    assert score == pytest.approx(by_hand(chat, "the film is a good"), abs=1e-5)


def test_a_template_that_is_not_there_is_refused(plain):
    with pytest.raises(ValueError, match=r"has no chat template; set template to plain or auto"):
        RewardModel(path=plain, template="chat")


def test_a_head_that_is_not_in_the_folder_is_refused(tmp_path):
    with pytest.raises(
        OracleError, match=r"lacks score\.weight: what it says .* random weights; give"
    ):
        RewardModel(path=tiny.language_model(tmp_path))


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_a_folder_that_holds_no_model_is_named(tmp_path, missing):
    path = str(tmp_path / missing)
    with pytest.raises(OracleError, match=r"cannot load a reward model from '"):
        RewardModel(path=path)


def test_a_text_that_is_too_long_has_no_score(plain):
    long = response(" word" * 20)
    short, missing = RewardModel(path=plain).score([response(" good"), long])
    assert isinstance(short, float)
    assert missing == Missing("113 tokens do not lie in 1..64")


def test_the_shorter_of_the_models_and_the_tokenizers_context_holds(tmp_path):
    long = response(" word" * 4)
    path = tiny.reward_model(tmp_path, max_position_embeddings=32)
    assert RewardModel(path=path).score([long]) == [Missing("33 tokens do not lie in 1..32")]


def test_or_the_score_of_its_end(plain):
    long = response(" word" * 20)
    (score,) = RewardModel(path=plain, overflow="keep_end", max_tokens=10).score([long])
    assert score == pytest.approx(by_hand(plain, " word word"), abs=1e-5)


def test_an_empty_text_has_no_score(plain):
    empty = Response(prompt=Prompt(text=""), text="")
    assert RewardModel(path=plain).score([empty]) == [Missing("0 tokens do not lie in 1..64")]


def batch_sizes(model: RewardModel, responses: list[Response]) -> tuple[list[int], list[float]]:
    """How many texts each forward pass had, and the scores."""
    seen, forward = [], model._model.forward
    model._model.forward = lambda **x: seen.append(len(x["input_ids"])) or forward(**x)
    return seen, model.score(responses)


def test_padding_that_is_also_the_end_of_a_text_is_not_used(tmp_path):
    """A head reads the last token that is no padding: with pad = EOS, never the EOS itself."""
    path = tiny.reward_model(tmp_path, pad_token_id=None)
    tiny.tokenizer(pad_token="</s>").save_pretrained(path)
    responses = [*RESPONSES, response(" ended</s>")]
    sizes, scores = batch_sizes(RewardModel(path=path), responses)
    expected = [by_hand(path, r.prompt.text + r.text) for r in responses]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert set(sizes) == {1}


def test_the_tokenizers_own_padding_token_is_used_where_the_model_names_none(tmp_path):
    path = tiny.reward_model(tmp_path, pad_token_id=None)
    sizes, scores = batch_sizes(RewardModel(path=path), RESPONSES)
    expected = [by_hand(path, r.prompt.text + r.text) for r in RESPONSES]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert sizes == [len(RESPONSES)]


def test_the_models_own_padding_token_stays(tmp_path):
    path = tiny.reward_model(tmp_path, pad_token_id=3)
    assert RewardModel(path=path)._model.config.pad_token_id == 3
    scores = RewardModel(path=path).score(RESPONSES)
    expected = [by_hand(path, r.prompt.text + r.text) for r in RESPONSES]
    assert scores == pytest.approx(expected, abs=1e-5)


def test_a_single_logit_may_be_named(plain):
    assert RewardModel(path=plain, label=0).score(RESPONSES) == RewardModel(path=plain).score(
        RESPONSES
    )


class TestSeveralLabels:
    def test_one_must_be_named(self, tmp_path):
        path = tiny.reward_model(tmp_path, num_labels=3)
        with pytest.raises(ValueError, match=r"3 labels \(0: LABEL_0, .*\); set label to the good"):
            RewardModel(path=path)
        with pytest.raises(ValueError, match=r"label must lie in 0..2, got 3"):
            RewardModel(path=path, label=3)

    def test_the_score_is_the_log_odds_of_that_label(self, tmp_path):
        path = tiny.reward_model(tmp_path, num_labels=3)
        scores = [RewardModel(path=path, label=i).score(RESPONSES[:1])[0] for i in range(3)]
        probabilities = torch.tensor(scores).sigmoid()
        torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0))

    def test_independent_ratings_are_their_own_logits(self, tmp_path):
        path = tiny.reward_model(tmp_path, num_labels=2, problem_type="regression")
        model = AutoModelForSequenceClassification.from_pretrained(path)
        ids = torch.tensor([tiny.tokenizer()("the film is a good")["input_ids"]])
        expected = model(input_ids=ids).logits[0].tolist()
        found = [RewardModel(path=path, label=i).score(RESPONSES[:1])[0] for i in range(2)]
        assert found == pytest.approx(expected, abs=1e-5)


class TestTrainedHere:
    """A folder that prefloop trained is read as it was trained."""

    @pytest.fixture(params=["pad of its own", "pad is EOS"])
    def tokenizer(self, request):
        return tiny.tokenizer(
            **({} if request.param == "pad of its own" else {"pad_token": "</s>"})
        )

    @pytest.mark.parametrize("aggregate", ["mean", "min", "lower", "first"])
    @pytest.mark.parametrize("template", [None, tiny.CHAT])
    def test_its_scores_are_those_of_the_run(self, tmp_path, tokenizer, template, aggregate):
        tokenizer.chat_template = template
        reward, asked = trained(tokenizer, heads=3, aggregate=aggregate)
        reward.save(tmp_path)
        found = RewardModel(path=str(tmp_path)).score(asked)
        assert found == pytest.approx(reward.score(asked), abs=1e-5)
        assert np.mean(found) == pytest.approx(0, abs=1e-5)
        assert np.std(found) == pytest.approx(1, abs=1e-5)

    def test_a_response_that_was_cut_off_has_no_end(self, tmp_path, tokenizer):
        reward, (first, *_) = trained(tokenizer)
        reward.save(tmp_path)
        cut = replace(first, tokens=first.tokens[:-1], finished=False)
        found = RewardModel(path=str(tmp_path)).score([cut])
        assert found == pytest.approx(reward.score([cut]), abs=1e-5)
        assert found != pytest.approx(reward.score([first]), abs=1e-3)

    def test_a_single_head_needs_no_label(self, tmp_path, tokenizer):
        reward, asked = trained(tokenizer)
        reward.save(tmp_path)
        assert RewardModel(path=str(tmp_path)).score(asked) == pytest.approx(
            reward.score(asked), abs=1e-5
        )

    def test_one_member_of_an_ensemble_can_be_named(self, tmp_path, tokenizer):
        """Its own rating, before the shift."""
        reward, asked = trained(tokenizer, heads=3)
        reward.save(tmp_path)
        found = RewardModel(path=str(tmp_path), label=1).score(asked)
        expected = reward.scores(asked)[:, 1] / reward.gain
        assert found == pytest.approx(expected.tolist(), abs=1e-5)

    @pytest.mark.parametrize("template", [None, tiny.CHAT])
    def test_a_response_that_says_nothing_is_its_end(self, tmp_path, tokenizer, template):
        tokenizer.chat_template = template
        reward, (first, *_) = trained(tokenizer)
        reward.save(tmp_path)
        silent = replace(first, text="", tokens=first.tokens[-1:])
        found = RewardModel(path=str(tmp_path)).score([silent])
        assert found == pytest.approx(reward.score([silent]), abs=1e-5)

    def test_one_that_was_cut_off_before_it_said_anything_has_no_score(self, tmp_path, tokenizer):
        trained(tokenizer)[0].save(tmp_path)
        nothing = Response(prompt=Prompt(text="x"), text="", finished=False)
        assert RewardModel(path=str(tmp_path)).score([nothing]) == [
            Missing("0 tokens do not lie in 1..64")
        ]


def trained(tokenizer, **options):
    """A reward model of a policy with this tokenizer, normalised on the responses beside it."""
    loaded = Loaded(build("llama"), tokenizer, torch.device("cpu"), 64)
    reward = Trained.of(TransformerPolicy(loaded), **options)
    encoder, asked = Encoder(tokenizer, context=64), []
    for one in (r for r in RESPONSES if r.text):
        prompt, (tokens,) = encoder.encode(one.prompt, one.text)
        asked.append(replace(one, prompt=prompt, tokens=tokens))
    reward.normalise(asked)
    return reward, asked


def test_half_precision_scores_are_near_and_still_floats(plain):
    exact = RewardModel(path=plain).score(RESPONSES)
    rough = RewardModel(path=plain, dtype="bfloat16").score(RESPONSES)
    assert all(type(score) is float for score in rough)
    assert rough == pytest.approx(exact, rel=0.1, abs=0.1) and rough != exact
