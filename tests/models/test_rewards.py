"""Reward models and critics: heads on a causal backbone, read where they should be."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

import tiny
from models.families import build, forest, gradient, loaded, prompt, responses
from prefloop.config import ConfigError, Model
from prefloop.models.heads import first_head, in_units, mean_head
from prefloop.models.load import Loaded, checkpoint_gradients, load_weights, weights
from prefloop.models.reward import RewardModel
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.tree import backbone
from prefloop.types import Missing, Response, Scorer

TREES = forest()
ASKED = responses(TREES)
PACKED = ("llama", "qwen2", "gpt2", "mistral")
PADDED = ("sliding", "gemma2")


def of(family="llama", **options):
    return RewardModel.of(TransformerPolicy(loaded(family)), **options)


def here(folder, **options):
    return Model(path=str(folder), device="cpu", **options)


def one_by_one(trunk, asked=ASKED):
    """Every sequence alone: all its hidden states."""
    return [
        trunk(
            input_ids=torch.tensor([[*one.prompt.tokens, *one.tokens]]), use_cache=False
        ).last_hidden_state[0]
        for one in asked
    ]


def outcome(model, values):
    """The values, and the gradient of a sum that weighs every one differently."""
    model.zero_grad()
    (torch.linspace(-1, 1, values.numel()).view(values.shape) * values).sum().backward()
    return values.detach(), gradient(model)


def test_it_is_a_scorer():
    assert isinstance(of(), Scorer)


@pytest.mark.parametrize("family", [*PACKED, *PADDED])
def test_scores_and_states_are_those_of_the_plain_loop_in_value_and_gradient(family):
    """Every sequence alone through the backbone: the head at its last token."""
    reward = of(family, heads=2)
    assert reward.packs == (family in PACKED)
    plain = lambda: torch.stack([states[-1] for states in one_by_one(reward.model.base_model)])
    found = outcome(reward.model, reward.scores(ASKED))
    expected = outcome(reward.model, reward.model.score(plain()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(reward.states(ASKED), plain(), rtol=1e-5, atol=1e-5)
    assert found[0].shape == (len(ASKED), 2) and found[0].dtype == torch.float32


@pytest.mark.parametrize("family", [*PACKED, *PADDED])
def test_values_are_the_first_head_before_each_token_is_drawn(family):
    """The last token of the prompt has the first token's value, and EOS itself has none."""
    reward = of(family, heads=2)

    def plain():
        found = []
        for one, states in zip(ASKED, one_by_one(reward.model.base_model), strict=True):
            start = len(one.prompt.tokens) - 1
            found.append(reward.model.score(states[start : start + len(one.tokens)])[:, 0])
        return torch.cat(found)

    found = outcome(reward.model, reward.values(ASKED))
    torch.testing.assert_close(found, outcome(reward.model, plain()), rtol=1e-5, atol=1e-5)
    assert found[0].shape == (sum(len(r.tokens) for r in ASKED),)


@pytest.mark.parametrize("what", ["scores", "states", "values"])
@pytest.mark.parametrize("family", PACKED)
def test_packed_trees_equal_padded_rows(family, what):
    reward = of(family, heads=2)
    packed = outcome(reward.model, getattr(reward, what)(ASKED))
    reward.packs = False
    padded = outcome(reward.model, getattr(reward, what)(ASKED))
    torch.testing.assert_close(packed[0], padded[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed[1], padded[1], rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("tokens", [1, 40, 8192])
@pytest.mark.parametrize("family", ["llama", "sliding"])
def test_any_company_order_and_budget_give_the_same(family, tokens):
    reward = of(family)
    alone = [reward.scores([one]) for one in ASKED], [reward.values([one]) for one in ASKED]
    reward.tokens = tokens
    draw = torch.Generator().manual_seed(0)
    order = torch.randint(len(ASKED), (12,), generator=draw).tolist()
    asked = [ASKED[i] for i in order]
    for found, single in zip((reward.scores(asked), reward.values(asked)), alone, strict=True):
        expected = torch.cat([single[i] for i in order])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_nothing_is_asked_and_nothing_said():
    reward = of(heads=2)
    assert reward.scores([]).shape == (0, 2)
    assert reward.states([]).shape == (0, 32)
    assert reward.values([]).shape == (0,)
    assert reward.score([]) == []


def test_bfloat16_weights_give_float32_scores():
    exact, rough = of(), of()
    rough.model.to(torch.bfloat16)
    assert rough.scores(ASKED).dtype == torch.float32 == rough.values(ASKED).dtype
    torch.testing.assert_close(rough.scores(ASKED), exact.scores(ASKED), rtol=0.1, atol=0.1)


def test_under_autocast_the_head_stays_in_float32():
    reward = of()
    with torch.autocast("cpu", torch.bfloat16):
        states, scores = reward.states(ASKED), reward.scores(ASKED)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, reward.head(states.float()), rtol=1e-6, atol=1e-6)


class TestFresh:
    """What a reward model made of a policy begins with."""

    def test_the_trunk_is_the_policys_and_independent_of_it(self):
        policy = TransformerPolicy(loaded("llama"))
        reward = RewardModel.of(policy)
        own, other = reward.model.base_model, backbone(policy.model)
        for (name, a), (_, b) in zip(own.named_parameters(), other.named_parameters(), strict=True):
            assert torch.equal(a, b), name
            assert a.data_ptr() != b.data_ptr(), name
            assert a.requires_grad and a.grad is None
        before = policy.logps(ASKED).detach()
        with torch.no_grad():
            for parameter in reward.model.parameters():
                parameter += 1
        assert torch.equal(policy.logps(ASKED), before)

    def test_a_frozen_policys_trunk_can_be_trained(self):
        policy = TransformerPolicy(loaded("llama"))
        policy.model.requires_grad_(False)
        assert all(p.requires_grad for p in RewardModel.of(policy).model.parameters())

    def test_heads_have_variance_one_over_width_plus_one_and_no_bias(self):
        """66 000 draws: the deviation of a sample deviation is 1/√(2·66 000) of it."""
        weight = of(heads=2000).head.weight
        assert of().head.bias is None
        expected = (32 + 1) ** -0.5
        assert weight.std().item() == pytest.approx(expected, rel=5 / (2 * weight.numel()) ** 0.5)
        assert abs(weight.mean().item()) < 5 * expected / weight.numel() ** 0.5

    def test_a_seed_decides_the_heads(self):
        one, same, other = (of(heads=3, seed=seed).head.weight for seed in (1, 1, 2))
        assert torch.equal(one, same) and not torch.equal(one, other)
        assert len({*one[:, 0].tolist()}) == 3

    def test_it_draws_from_no_stream_but_its_own(self):
        policy = TransformerPolicy(loaded("llama"))
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        RewardModel.of(policy, heads=3)
        assert torch.equal(torch.rand(1), expected)

    def test_zero_heads_say_zero_and_learn(self):
        reward = of(zero=True)
        assert reward.scores(ASKED).tolist() == [[0.0]] * len(ASKED)
        reward.scores(ASKED).sum().backward()
        assert reward.head.weight.grad.abs().max() > 0

    def test_dropout_is_off_in_a_model_that_trains(self):
        """GPT-2's own settings drop a tenth of everything."""
        reward = of("gpt2")
        assert reward.model.training
        assert torch.equal(reward.scores(ASKED), reward.scores(ASKED))

    def test_a_family_without_a_classifier_is_refused(self):
        with pytest.raises(ConfigError, match=r"a mamba model cannot be a reward model: .* set re"):
            of("mamba")

    def test_gradient_checkpointing_goes_along_and_changes_no_gradient(self):
        policy = TransformerPolicy(loaded("llama"))
        policy.model.train()
        expected = outcome((plain := RewardModel.of(policy)).model, plain.scores(ASKED))
        checkpoint_gradients(policy.model)
        reward, forwards = RewardModel.of(policy), []
        layer = reward.model.model.layers[0].mlp
        layer.register_forward_pre_hook(lambda *_: forwards.append(1))
        torch.testing.assert_close(outcome(reward.model, reward.scores(ASKED)), expected)
        assert len(forwards) == 2


class TestScore:
    """The scorer: aggregated, normalised, never a guess."""

    @pytest.mark.parametrize("aggregate", ["mean", "min", "lower"])
    def test_an_ensemble_is_its_mean_its_least_or_its_mean_less_one_deviation(self, aggregate):
        reward = of(heads=4, aggregate=aggregate)
        rows = np.array(reward.scores(ASKED).tolist())
        expected = {
            "mean": rows.mean(1),
            "min": rows.min(1),
            "lower": rows.mean(1) - rows.std(1, ddof=1),
        }
        assert reward.score(ASKED) == pytest.approx(expected[aggregate].tolist(), abs=1e-5)

    @pytest.mark.parametrize("aggregate", ["mean", "min", "lower"])
    def test_normalised_scores_have_mean_zero_and_deviation_one(self, aggregate):
        reward = of(heads=4, aggregate=aggregate)
        before = np.array(reward.score(ASKED))
        reward.normalise(ASKED)
        after = np.array(reward.score(ASKED))
        assert (after.mean(), after.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1))
        assert np.corrcoef(before, after)[0, 1] == pytest.approx(1)
        reward.normalise(ASKED)
        assert reward.score(ASKED) == pytest.approx(after.tolist(), abs=1e-6)

    def test_what_is_trained_is_the_raw_score(self):
        reward = of()
        before = reward.scores(ASKED)
        reward.normalise(ASKED)
        assert torch.equal(reward.scores(ASKED), before)

    def test_scores_that_are_all_the_same_cannot_be_normalised(self):
        with pytest.raises(ValueError, match=r"8 responses all score 0, so no gain gives them"):
            of(zero=True).normalise(ASKED)
        with pytest.raises(ValueError, match=r"3 responses all score .*; give different responses"):
            of().normalise([ASKED[0]] * 3)
        with pytest.raises(ValueError, match=r"on at least 2 responses, got 1"):
            of().normalise(ASKED[:1])

    @pytest.mark.parametrize("aggregate", ["min", "lower"])
    def test_one_head_is_no_ensemble(self, aggregate):
        with pytest.raises(ValueError, match=rf"{aggregate!r} needs at least 2 heads .*, got 1"):
            of(aggregate=aggregate)

    def test_a_response_that_does_not_fit_has_no_score(self):
        long = Response(prompt=prompt((5,) * 60), text="", tokens=(6,) * 5)
        reward = of()
        first, missing, second = reward.score([ASKED[0], long, ASKED[1]])
        assert missing == Missing("65 tokens do not lie in 1..64")
        assert [first, second] == pytest.approx(reward.score(ASKED[:2]), abs=1e-6)
        with pytest.raises(ValueError, match="must fit the context of 64 tokens, got 65"):
            reward.scores([long])

    def test_a_score_that_is_no_number_is_missing(self):
        reward = of()
        with torch.no_grad():
            reward.head.weight.fill_(float("nan"))
        assert reward.score(ASKED[:1]) == [Missing("expected a number, got nan")]

    def test_no_gradient_is_kept(self):
        reward = of()
        reward.score(ASKED)
        reward.normalise(ASKED)
        assert torch.is_grad_enabled()
        assert all(p.grad is None for p in reward.model.parameters())


class TestCritic:
    def test_it_says_what_the_reward_says_in_its_units(self):
        """Before EOS, a critic's state is that of the response without EOS as a whole."""
        reward = of()
        reward.normalise(ASKED)
        critic = reward.critic()
        cut = [Response(prompt=r.prompt, text="", tokens=(*r.tokens, 2)) for r in ASKED]
        last = torch.stack([v[-1] for v in critic.values(cut).split([len(r.tokens) for r in cut])])
        torch.testing.assert_close(last, torch.tensor(reward.score(ASKED)), rtol=1e-5, atol=1e-5)
        assert critic.score(ASKED) == pytest.approx(reward.score(ASKED), abs=1e-5)
        torch.testing.assert_close(critic.values(ASKED), reward.values(ASKED), rtol=1e-5, atol=1e-5)

    def test_it_is_independent_of_the_reward(self):
        reward = of()
        critic, before = reward.critic(), reward.score(ASKED)
        critic.values(ASKED).sum().backward()
        with torch.no_grad():
            for parameter in critic.model.parameters():
                parameter += 1
        assert reward.score(ASKED) == before
        assert all(p.grad is None for p in reward.model.parameters())

    @pytest.mark.parametrize("aggregate", ["mean", "first"])
    def test_an_ensembles_is_the_mean_of_its_heads_or_the_first(self, aggregate):
        reward = of(heads=4, aggregate=aggregate)
        reward.normalise(ASKED)
        critic = reward.critic()
        assert critic.head.weight.shape[0] == 1
        assert critic.score(ASKED) == pytest.approx(reward.score(ASKED), abs=1e-5)


class TestFolder:
    """An ordinary sequence-classification folder, and what is refused as one."""

    @pytest.mark.parametrize("family", [*PACKED, *PADDED])
    @pytest.mark.parametrize("heads", [1, 3])
    def test_transformers_alone_reads_it(self, tmp_path, family, heads):
        reward = of(family, heads=heads)
        reward.normalise(ASKED)
        reward.save(tmp_path)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            tmp_path, output_loading_info=True
        )
        assert not any(report[name] for name in ("missing_keys", "unexpected_keys"))
        ids = [torch.tensor([[*r.prompt.tokens, *r.tokens]]) for r in ASKED]
        logits = torch.cat([model(input_ids=row).logits for row in ids])
        torch.testing.assert_close(logits * reward.gain, reward.scores(ASKED), atol=1e-5, rtol=1e-5)
        scores = logits.mean(1) - model.config.prefloop_shift
        assert reward.score(ASKED) == pytest.approx(scores.tolist(), abs=1e-5)

    def test_fresh_heads_know_nothing_of_those_that_were_there(self, tmp_path):
        old = of(heads=2, aggregate="min")
        old.shift, old.gain = 3.0, 2.0
        old.save(tmp_path)
        load = lambda **fresh: RewardModel.load(str(tmp_path), settings=Model(), **fresh)
        assert (load().shift, load().aggregate) == (1.5, "min")
        assert (load(fresh=2).shift, load(fresh=2).aggregate) == (0.0, "mean")

    def test_transformers_reads_the_end_of_padded_rows_too(self, tmp_path):
        reward = of()
        reward.save(tmp_path)
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
        assert model.config.pad_token_id == tiny.tokenizer().pad_token_id
        ended = [Response(prompt=r.prompt, text="", tokens=(*r.tokens, 2)) for r in ASKED]
        rows = [torch.tensor([*r.prompt.tokens, *r.tokens]) for r in ended]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)
        found = model(input_ids=ids, attention_mask=(ids != 0).long()).logits
        torch.testing.assert_close(found, reward.scores(ended), rtol=1e-5, atol=1e-5)

    def test_padding_that_is_also_the_end_is_not_named(self, tmp_path):
        """Else a classifier would read the token before EOS."""
        tokenizer = tiny.tokenizer(pad_token="</s>")
        policy = TransformerPolicy(Loaded(build("llama"), tokenizer, torch.device("cpu"), 64))
        RewardModel.of(policy).save(tmp_path)
        config = AutoModelForSequenceClassification.from_pretrained(tmp_path).config
        assert config.pad_token_id is None

    def test_weights_are_bit_for_bit_the_same_but_for_the_gain(self, tmp_path):
        reward = of(heads=2, aggregate="lower")
        reward.normalise(ASKED)
        before = {name: p.detach().clone() for name, p in reward.model.named_parameters()}
        reward.save(tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        assert stored.keys() == before.keys()
        assert torch.equal(stored.pop("score.weight"), before["score.weight"] / reward.gain)
        assert all(torch.equal(stored[name], before[name]) for name in stored)
        after = dict(reward.model.named_parameters())
        assert all(torch.equal(after[name], before[name]) for name in before)

    def test_what_is_saved_is_loaded(self, tmp_path):
        reward = of(heads=2, aggregate="lower")
        reward.normalise(ASKED)
        reward.save(tmp_path)
        again = RewardModel.load(str(tmp_path), settings=here(tmp_path))
        assert again.packs and again.aggregate == "lower" and again.gain == 1
        assert again.score(ASKED) == pytest.approx(reward.score(ASKED), abs=1e-5)
        again.save(tmp_path / "again")
        first, second = (load_file(p / "model.safetensors") for p in (tmp_path, tmp_path / "again"))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert again.shift == RewardModel.load(str(tmp_path / "again"), settings=here("")).shift

    def test_a_classifier_made_elsewhere_is_read(self, tmp_path):
        path = tiny.reward_model(tmp_path)
        reward = RewardModel.load(path, settings=here(tmp_path))
        model = AutoModelForSequenceClassification.from_pretrained(path)
        expected = [
            model(input_ids=torch.tensor([[*r.prompt.tokens, *r.tokens]])).logits.item()
            for r in ASKED
        ]
        assert reward.score(ASKED) == pytest.approx(expected, abs=1e-5)

    def test_a_folder_without_a_trained_head_is_refused(self, tmp_path):
        path = tiny.language_model(tmp_path)
        with pytest.raises(
            ConfigError, match=r"lacks score\.weight .*random weights; train a fresh"
        ):
            RewardModel.load(path, settings=here(tmp_path))

    @pytest.mark.parametrize("kind", [tiny.language_model, tiny.reward_model])
    def test_unless_a_fresh_one_is_asked_for(self, tmp_path, kind, caplog):
        """Then a head that is there does not matter, and one that is not is no surprise."""
        path = kind(tmp_path)
        caplog.clear()
        reward = RewardModel.load(path, settings=here(tmp_path), fresh=3, seed=5)
        again = RewardModel.load(path, settings=here(tmp_path), fresh=3, seed=5)
        assert not caplog.records
        assert torch.equal(reward.head.weight, again.head.weight)
        assert reward.head.weight.shape == (3, 8) and reward.shift == 0
        reward.save(tmp_path / "saved")
        saved = RewardModel.load(str(tmp_path / "saved"), settings=here(""))
        torch.testing.assert_close(saved.scores(ASKED), reward.scores(ASKED))

    def test_a_trunk_that_is_not_whole_is_refused_even_under_a_fresh_head(self, tmp_path):
        from safetensors.torch import save_file

        path = tiny.language_model(tmp_path)
        kept = load_file(tmp_path / "model.safetensors")
        kept.pop("model.norm.weight")
        save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(ConfigError, match=r"lacks model\.norm\.weight"):
            RewardModel.load(path, settings=here(tmp_path), fresh=1)

    def test_a_folder_that_is_not_there_is_named_by_its_setting(self):
        with pytest.raises(ConfigError, match=r"reward\.path 'nowhere' is no model"):
            RewardModel.load("nowhere", settings=here("x"))

    def test_trained_weights_go_out_and_back(self):
        reward, other = of(heads=2, seed=0), of(heads=2, seed=1)
        load_weights(other.model, weights(reward.model))
        assert torch.equal(other.scores(ASKED), reward.scores(ASKED))
        assert "score.weight" in weights(reward.model)


def test_training_moves_the_better_response_up():
    reward = of()
    optimizer = torch.optim.AdamW(reward.model.parameters(), lr=1e-3)
    gaps = []
    for _ in range(5):
        scores = reward.scores(ASKED[:2])[:, 0]
        gaps.append((scores[0] - scores[1]).item())
        optimizer.zero_grad()
        torch.nn.functional.softplus(scores[1] - scores[0]).backward()
        optimizer.step()
    assert all(later > earlier for earlier, later in pairwise(gaps))


@pytest.mark.parametrize("bias", [True, False])
def test_heads_made_of_others_say_what_they_are_to(bias):
    """Over a gain, the mean, the first: of the same states, biases included."""
    torch.manual_seed(0)
    heads, states = nn.Linear(5, 3, bias), torch.randn(4, 5)
    said = heads(states)
    torch.testing.assert_close(in_units(heads, 4.0)(states), said / 4)
    torch.testing.assert_close(mean_head(heads)(states), said.mean(1, keepdim=True))
    torch.testing.assert_close(first_head(heads)(states), said[:, :1])
