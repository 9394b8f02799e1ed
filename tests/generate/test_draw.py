"""One draw: the law, its nucleus, and the token at a uniform number."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from prefloop.generate.draw import draw, invert, nucleus
from prefloop.types import SamplingSettings

LOGITS = torch.tensor(np.random.default_rng(0).normal(size=(3, 150)) * 2).float()


def exact_nucleus(law, top_p):
    """By the definition: the most likely tokens, one by one, until they hold top_p."""
    kept, mass = np.zeros_like(law), 0.0
    for token in np.argsort(-law, kind="stable"):
        if mass >= top_p:
            break
        kept[token] = law[token]
        mass += law[token]
    return kept / kept.sum()


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.9, 1.0])
def test_the_nucleus_is_the_fewest_tokens_that_hold_top_p(top_p):
    law = LOGITS.double().softmax(-1)
    expected = [exact_nucleus(row, top_p) for row in law.numpy()]
    np.testing.assert_allclose(nucleus(law, top_p).numpy(), expected, rtol=1e-9, atol=0)


def test_a_uniform_number_finds_the_token_where_the_running_sum_passes_it():
    law = LOGITS.softmax(-1).double()
    for u in [0.0, 1e-9, 0.25, 0.5, 0.999, 1 - 1e-9]:
        found = invert(law, torch.full((3,), u, dtype=torch.float64))
        sums = np.cumsum(law.numpy(), -1)
        expected = [int(np.searchsorted(s, u * s[-1], side="right")) for s in sums]
        assert found.tolist() == expected


def test_impossible_tokens_are_never_drawn():
    law = torch.zeros(4, 200)
    law[:, [3, 130, 131]] = torch.tensor([0.5, 0.25, 0.25])
    edges = torch.tensor([0.0, 0.5, np.nextafter(0.5, 0), np.nextafter(1.0, 0)])
    assert invert(law, edges.double()).tolist() == [3, 130, 3, 131]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.5, 0.8)])
def test_draws_follow_the_law_and_report_it(temperature, top_p):
    settings = SamplingSettings(temperature=temperature, top_p=top_p)
    count = 20_000
    uniforms = torch.from_numpy(np.random.default_rng(1).random(count))
    drawn = draw(LOGITS[:1].expand(count, -1), uniforms, settings)
    law = exact_nucleus((LOGITS[0].double() / temperature).softmax(-1).numpy(), top_p)
    counts = np.bincount(drawn.tokens, minlength=len(law))
    assert counts[law == 0].sum() == 0
    usual = count * law >= 5
    observed = [*counts[usual], counts[~usual].sum()]
    expected = [*(count * law[usual]), count * law[~usual].sum()]
    live = np.array(expected) > 0
    assert chisquare(np.array(observed)[live], np.array(expected)[live]).pvalue > 1e-3
    np.testing.assert_allclose(drawn.logp_sampling, np.log(law[drawn.tokens]), rtol=1e-4, atol=1e-4)
    untruncated = LOGITS[0].log_softmax(-1)[drawn.tokens]
    torch.testing.assert_close(drawn.logp, untruncated)
