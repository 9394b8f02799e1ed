"""Batched generation: what it draws, and that company changes nothing."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

import tiny
from models.families import CONTEXT, build, loaded, prompt
from prefloop.generate import batched, decode
from prefloop.generate.cache import GrowingLayer, growing_cache
from prefloop.models.transformer import TransformerPolicy
from prefloop.types import Prompt, SamplingSettings

FAMILIES = ["llama", "qwen2", "gpt2", "sliding", "gemma2", "mamba"]
RNG = np.random.default_rng(0)
PROMPTS = [tuple(RNG.integers(5, 101, size=n).tolist()) for n in (3, 7, 7, 1, 12, 30, 4)]


def sample(model, prompts=PROMPTS, *, n=2, seed=0, context=CONTEXT, **settings):
    return batched.sample(
        model,
        tiny.tokenizer(),
        [prompt(tokens) for tokens in prompts],
        n=n,
        settings=SamplingSettings(**{"max_new_tokens": 12, **settings}),
        rng=np.random.default_rng(seed),
        context=context,
    )


def tokens(found):
    return [[response.tokens for response in rows] for rows in found]


@pytest.mark.parametrize("family", FAMILIES)
def test_at_low_temperature_it_is_the_greedy_generation_of_hugging_face(family):
    model = build(family)
    found = tokens(sample(model, n=1, temperature=1e-4))
    for given, (mine,) in zip(PROMPTS, found, strict=True):
        theirs = model.generate(
            torch.tensor([given]), max_new_tokens=12, do_sample=False, eos_token_id=2
        )[0, len(given) :].tolist()
        assert list(mine) == theirs


@pytest.mark.parametrize("family", FAMILIES)
def test_logp_is_the_learners(family):
    policy = TransformerPolicy(loaded(family), precision="float32")
    found = [r for rows in sample(policy.model, temperature=1.3, top_p=0.9) for r in rows]
    expected = policy.logps(found).tolist()
    np.testing.assert_allclose([r.logp for r in found], expected, rtol=1e-4, atol=1e-4)
    assert all(abs(r.logp_sampling - r.logp) > 1e-3 for r in found)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.8, 0.9)])
def test_first_tokens_follow_the_exact_law(temperature, top_p):
    model, count = build("qwen2"), 4000
    (rows,) = sample(
        model, PROMPTS[1:2], n=count, temperature=temperature, top_p=top_p, max_new_tokens=1
    )
    logits = model(torch.tensor(PROMPTS[1:2])).logits[0, -1].double()
    law = (logits / temperature).softmax(-1).detach().numpy()
    order = np.argsort(-law)
    kept = order[np.concatenate([[0.0], np.cumsum(law[order])[:-1]]) < top_p]
    law = np.where(np.isin(np.arange(len(law)), kept), law, 0.0)
    law /= law.sum()
    counts = np.bincount([r.tokens[0] for r in rows], minlength=len(law))
    usual = count * law >= 5
    observed, expected = counts[usual], count * law[usual]
    rest = (counts[~usual].sum(), count * law[~usual].sum())
    if rest[1] > 0:
        observed, expected = np.append(observed, rest[0]), np.append(expected, rest[1])
    assert counts[law == 0].sum() == 0
    assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("family", ["llama", "qwen2", "sliding"])
def test_company_changes_nothing(family):
    """Each prompt alone, sample by sample, with the uniforms it had in the batch."""
    model = build(family)
    request = batched.Request(
        model, SamplingSettings(max_new_tokens=12), CONTEXT, frozenset(range(2, 30))
    )
    uniforms = np.random.default_rng(5).random((len(PROMPTS), 3, 12))
    together = batched.generate(request, PROMPTS, uniforms)
    lengths = {len(row.tokens) for rows in together for row in rows}
    assert len(lengths) > 4  # rows left at different times
    for i, rows in enumerate(together):
        for k, row in enumerate(rows):
            ((alone,),) = batched.generate(
                request, PROMPTS[i : i + 1], uniforms[i : i + 1, k : k + 1]
            )
            assert alone.tokens == row.tokens and alone.finished == row.finished
            assert alone.logp == pytest.approx(row.logp, abs=1e-4)


def test_rows_that_finish_leave_the_batch(monkeypatch):
    sizes = []
    inner = decode._step
    monkeypatch.setattr(
        decode, "_step", lambda m, batch, t: (sizes.append(len(t)), inner(m, batch, t))[1]
    )
    request = batched.Request(
        build("llama"), SamplingSettings(max_new_tokens=40), CONTEXT, frozenset(range(2, 20))
    )
    batched.generate(request, PROMPTS[:1], np.random.default_rng(0).random((1, 64, 40)))
    assert sizes[0] == 64 and sizes[-1] < 16 and sorted(sizes, reverse=True) == sizes


def test_a_prompt_is_prefilled_once_for_all_its_samples(monkeypatch):
    widths = []
    inner = decode._forward
    monkeypatch.setattr(
        decode,
        "_forward",
        lambda m, ids, *rest: (widths.append(ids.shape), inner(m, ids, *rest))[1],
    )
    found = sample(build("llama"), [PROMPTS[1], PROMPTS[2], PROMPTS[1]], n=4)
    assert widths[0] == (2, 7)
    assert len({r.tokens for rows in found for r in rows}) == 12


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_eos_ends_a_response_and_is_part_of_it(family):
    found = [r for rows in sample(build(family), n=40, temperature=2.0) for r in rows]
    assert {r.finished for r in found} == {True, False}
    for response in found:
        assert response.finished == (response.tokens[-1] == 2)
        assert 2 not in response.tokens[:-1]
        assert response.finished or len(response.tokens) == 12


def test_every_eos_of_the_generation_config_ends_a_response():
    model = build("llama")
    model.generation_config.eos_token_id = [7, 9]
    assert batched.stop_tokens(model, tiny.tokenizer()) == {2, 7, 9}
    ends = {r.tokens[-1] for rows in sample(model, n=60) for r in rows if r.finished}
    assert ends == {2, 7, 9}


def test_the_context_ends_what_the_limit_does_not():
    found = sample(build("llama"), [PROMPTS[0], PROMPTS[4]], n=20, context=14)
    assert max(len(r.tokens) for r in found[0]) == 11
    assert {len(r.tokens) for r in found[1]} <= {1, 2}


def test_the_same_stream_draws_the_same_and_another_stream_another():
    model = build("llama")
    assert sample(model, seed=3) == sample(model, seed=3)
    assert tokens(sample(model, seed=3)) != tokens(sample(model, seed=4))


def test_small_batches_draw_the_same_as_large_ones(monkeypatch):
    model = build("qwen2")
    whole = tokens(sample(model, n=5))
    monkeypatch.setattr(batched, "ROWS", 3)
    assert tokens(sample(model, n=5)) == whole


def test_progress_counts_every_token():
    counts = []
    policy = TransformerPolicy(loaded("llama"))
    policy.on_tokens = counts.append
    found = policy.sample(
        [prompt(t) for t in PROMPTS],
        n=3,
        settings=SamplingSettings(max_new_tokens=6),
        rng=np.random.default_rng(0),
    )
    assert sum(counts) == sum(len(r.tokens) for rows in found for r in rows)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Prompt(text="hello"), "'hello' has no tokens; encode it first with store.text"),
        (prompt((5,) * 64), "leave room for a response in the context of 64 tokens, got 64"),
    ],
)
def test_prompts_that_cannot_be_answered_are_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        batched.sample(
            build("llama"),
            tiny.tokenizer(),
            [asked],
            n=1,
            settings=SamplingSettings(),
            rng=np.random.default_rng(0),
            context=CONTEXT,
        )


def test_a_growing_layer_holds_what_concatenation_would():
    draw = torch.Generator().manual_seed(0)
    layer, whole = GrowingLayer(), torch.empty(2, 3, 0, 4)
    for length in (5, 1, 70, 1, 60):
        new = torch.randn(whole.shape[0], 3, length, 4, generator=draw)
        whole = torch.cat([whole, new], 2)
        keys, values = layer.update(new, -new)
        assert torch.equal(keys, whole) and torch.equal(values, -whole)
        chosen = torch.tensor([1, 0, 1])[: whole.shape[0]]
        layer.batch_select_indices(chosen)
        whole = whole[chosen]
    assert layer.get_seq_length() == 137


def test_sliding_layers_keep_their_own_cache():
    kinds = {family: growing_cache(build(family)).layers for family in ("llama", "sliding")}
    assert all(isinstance(layer, GrowingLayer) for layer in kinds["llama"])
    assert not any(isinstance(layer, GrowingLayer) for layer in kinds["sliding"])


def test_only_a_model_with_a_past_of_its_own_goes_through_hugging_face():
    assert [family for family in FAMILIES if not batched.takes_cache(build(family))] == ["mamba"]
