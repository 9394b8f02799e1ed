"""How often the testbed's policy has a style by itself, for the choice of `oracles/style.py`.

    python scripts/measure_style.py                  # 8,000 samples, a minute and a half
    python scripts/measure_style.py --samples 24000

Samples as in a run on the testbed: temperature 1, top-p 0.95, at most 48 tokens, eval prompts
first, then train prompts, four samples each. A style that carries the gold or proxy score with it
would be found without exploring: the last two columns are how much more such samples score.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from prefloop.config import Model
from prefloop.measure.intervals import win_rate
from prefloop.models.load import load
from prefloop.models.transformer import TransformerPolicy
from prefloop.oracles.proxy import Proxy
from prefloop.oracles.sentiment import Sentiment
from prefloop.oracles.style import Style
from prefloop.rng import stream
from prefloop.store.text import Encoder
from prefloop.testbed import prompts
from prefloop.types import Prompt, Response, SamplingSettings

SEED, EACH, CHUNK = 0, 4, 64
LAW = SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=48)
STYLES = {
    "semicolon": r";",
    "question": r"\?",
    "exclamation": r"!",
    "parentheses": r"\([^()]+\)",
    "quotation": r"(?<!\w)'\w[^']*'(?!\w)",
    "colon": r":",
    "dash": r" - |--",
    "ellipsis": r"\.\.\.",
    "number": r"\d",
    "says you": r"\byou\b",
    "says you'll": r"\byou'll\b",
    "asterisk": r"\*",
}


def draw(count: int) -> Iterator[Response]:
    """So many samples of the testbed's policy, with the text a scorer reads."""
    loaded = load(Model())
    encoder = Encoder(loaded.tokenizer, context=loaded.context)
    texts = [*prompts("eval"), *prompts("train")][: -(-count // EACH)]
    encoded = [encoder.encode_prompt(Prompt(text=text), LAW.max_new_tokens) for text in texts]
    kept = [prompt for prompt in encoded if prompt is not None]
    policy = TransformerPolicy(loaded)
    with policy.rollouts():
        for start in range(0, len(kept), CHUNK):
            rng = stream(SEED, "style", start)
            groups = policy.sample(kept[start : start + CHUNK], n=EACH, settings=LAW, rng=rng)
            for response in (r for group in groups for r in group):
                text = encoder.decode(response.prompt, response.tokens)
                yield Response(prompt=response.prompt, text=text)


def line(name: str, has: np.ndarray, scores: Sequence[np.ndarray]) -> str:
    """A style's share with its Wilson interval, and by how much such samples score more."""
    share = win_rate(has, np.full(len(has), 0.5))
    gains = " ".join(
        f"{s[has].mean() - s[~has].mean():+7.2f}" if has.any() else " " * 7 for s in scores
    )
    limits = f"{share.low:7.2%} {share.high:7.2%}"
    return f"{name:12} {has.sum():6} {share.value:7.2%} {limits} {gains}"


def main() -> None:
    """Draw and print."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--samples", type=int, default=8000)
    torch.set_num_threads(1)
    samples = list(islice(draw(count := arguments.parse_args().samples), count))
    scores = [np.array(scorer.score(samples), float) for scorer in (Sentiment(), Proxy())]
    print(f"{len(samples):,} samples")
    print(f"{'style':12} {'n':>6} {'share':>7} {'95 %':>15}    gold   proxy")
    print(line("two clauses", np.array(Style().score(samples)) > 0.5, scores))
    for name, pattern in STYLES.items():
        found = np.array([re.search(pattern, sample.text) is not None for sample in samples])
        print(line(name, found, scores))


if __name__ == "__main__":
    main()
