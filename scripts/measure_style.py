"""How often the testbed's policy has a style by itself, for the choice of `oracles/style.py`.

    python scripts/measure_style.py                  # 8,000 samples, a few minutes
    python scripts/measure_style.py --samples 24000

Samples as in a run on the testbed: temperature 1, top-p 0.95, at most 48 tokens, eval prompts
first, then train prompts, four samples each. A style that raises the gold or the proxy score would
be found without exploring: columns three and four are how much more such samples score. One that
features cannot see is not found by exploring: the last two are the areas under the ROC curve of a
cross-validated linear probe on each encoder. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from prefloop.config import Model
from prefloop.features.lsa import Lsa
from prefloop.measure.intervals import win_rate
from prefloop.models.load import load
from prefloop.models.states import last_states
from prefloop.models.transformer import TransformerPolicy
from prefloop.novelty._white import Whitener
from prefloop.oracles.proxy import Proxy
from prefloop.oracles.sentiment import Sentiment
from prefloop.oracles.style import Style
from prefloop.rng import stream
from prefloop.store.text import Encoder
from prefloop.testbed import prompts
from prefloop.types import Prompt, Response, SamplingSettings

SEED, EACH, CHUNK, SPACE = 0, 4, 64, 512
LAW = SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=48)
STYLES = {
    "semicolon": r";",
    "question": r"\?",
    "exclamation": r"!",
    "parentheses": r"\([^()]+\)",
    "quotation": r"(?<!\w)'\w[^']*'(?!\w)",
    "ellipsis": r"\.\.\.",
    "number": r"\d",
    "you": r"\byou\b",
    "worth": r"\bworth\b",
    "though": r", though\b",
}


def draw(policy: TransformerPolicy, encoder: Encoder, count: int) -> Iterator[Response]:
    """So many samples of the testbed's policy, with the text a scorer reads."""
    texts = [*prompts("eval"), *prompts("train")][: -(-count // EACH)]
    encoded = [encoder.encode_prompt(Prompt(text=text), LAW.max_new_tokens) for text in texts]
    kept = [prompt for prompt in encoded if prompt is not None]
    with policy.rollouts():
        for start in range(0, len(kept), CHUNK):
            rng = stream(SEED, "style", start)
            groups = policy.sample(kept[start : start + CHUNK], n=EACH, settings=LAW, rng=rng)
            for response in (r for group in groups for r in group):
                text = encoder.decode(response.prompt, response.tokens)
                yield Response(prompt=response.prompt, text=text, tokens=response.tokens)


def places(policy: TransformerPolicy, samples: Sequence[Response]) -> dict[str, np.ndarray]:
    """Rows of both encoders, made comparable as a run does: in the space of the first samples."""
    chunks = range(0, len(samples), CHUNK)
    hidden = np.concatenate([last_states(policy, samples[i : i + CHUNK]) for i in chunks])
    found = {}
    for name, features in (("lsa", Lsa().features(samples)), ("hidden", hidden)):
        whitener = Whitener()
        whitener.fit(features[:SPACE])
        found[name] = whitener.rows(features)
    return found


def visible(rows: np.ndarray, has: np.ndarray) -> float:
    """How well a linear probe tells samples with the style from those without."""
    probe = LogisticRegression(C=10, max_iter=500, class_weight="balanced")
    guess = cross_val_predict(probe, rows, has, cv=5, method="predict_proba")[:, 1]
    return float(roc_auc_score(has, guess))


def line(
    name: str, has: np.ndarray, scores: Sequence[np.ndarray], rows: Sequence[np.ndarray]
) -> str:
    """A style's share with its Wilson interval, what it brings, and who sees it."""
    share = win_rate(has, np.full(len(has), 0.5))
    gains = " ".join(f"{s[has].mean() - s[~has].mean():+7.2f}" for s in scores)
    seen = " ".join(f"{visible(x, has):7.2f}" for x in rows)
    limits = f"{share.low:7.2%} {share.high:7.2%}"
    return f"{name:12} {has.sum():6} {share.value:7.2%} {limits} {gains} {seen}"


def main() -> None:
    """Draw and print."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--samples", type=int, default=8000)
    count = arguments.parse_args().samples
    torch.set_num_threads(1)
    loaded = load(Model())
    policy, encoder = TransformerPolicy(loaded), Encoder(loaded.tokenizer, context=loaded.context)
    samples = list(islice(draw(policy, encoder, count), count))
    scores = [np.array(scorer.score(samples), float) for scorer in (Sentiment(), Proxy())]
    rows = list(places(policy, samples).values())
    print(f"{len(samples):,} samples\n{'style':12} {'n':>6} {'share':>7} {'95 %':>15}", end="")
    print(f" {'gold':>7} {'proxy':>7} {'lsa':>7} {'hidden':>7}")
    print(line("a promise", np.array(Style().score(samples)) > 0.5, scores, rows), flush=True)
    for name, pattern in STYLES.items():
        found = np.array([re.search(pattern, sample.text) is not None for sample in samples])
        print(line(name, found, scores, rows), flush=True)


if __name__ == "__main__":
    main()
