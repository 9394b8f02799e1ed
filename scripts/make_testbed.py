"""Make everything that `prefloop.testbed` ships, from `data/movies/sentences.jsonl.gz`.

    python scripts/make_testbed.py                 # all steps, in order
    python scripts/make_testbed.py --only proxy    # one step; the others' files are reused

The steps: a byte-level BPE, a tiny Llama pretrained on review sentences, the gold and the proxy
classifier, the prompts, the LSA features, and the card (every number is measured on the files as
shipped).
Training and fitting see rows of the train split only. Needs scikit-learn beside the package.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import torch
from testbed_data import CARD, REVIEWS, ROOT, TESTBED, Sentence, note, read_sentences
from testbed_lsa import make_lsa
from testbed_model import EOS, load_model, load_tokenizer, make_model, make_tokenizer
from testbed_rewards import labelled, make_gold, make_proxy
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from prefloop import testbed
from prefloop.testbed.classifier import WORD, Classifier

PROMPT_SEED, SAMPLE_SEED = 11, 0


def start(text: str) -> str:
    """A sentence's first four words."""
    return " ".join(text.split()[:4])


def is_prompt_worthy(row: Sentence, known: Counter[str]) -> bool:
    """A whole review sentence of at least 8 words that starts with plain, known words."""
    return (
        row.source in REVIEWS
        and len(row.text.split()) >= 8
        and row.text.endswith((".", "!", "?"))
        and re.fullmatch(r"[a-z][a-z' ,-]*[a-z]", start(row.text)) is not None
        and all(known[word] >= 3 for word in WORD.findall(start(row.text)))
    )


def choose(rows: Sequence[Sentence], taken: set[str], size: int) -> list[str]:
    """`size` distinct starts not in `taken`, three in eight from short reviews and quotes."""
    rng = random.Random(PROMPT_SEED)
    short = sorted({start(r.text) for r in rows if r.source != "movie_reviews"} - taken)
    long = sorted({start(r.text) for r in rows if r.source == "movie_reviews"} - taken - {*short})
    few = min(len(short), 3 * size // 8)
    chosen = rng.sample(short, few) + rng.sample(long, size - few)
    rng.shuffle(chosen)
    return chosen


def make_prompts(rows: Sequence[Sentence]) -> None:
    """6,000 train prompts, and 400 eval prompts that start no sentence of another split."""
    known = Counter(w for row in rows if row.split == "train" for w in WORD.findall(row.text))
    worthy = [row for row in rows if is_prompt_worthy(row, known)]
    seen = {start(row.text) for row in rows if row.split != "valid"}
    chosen = {
        "train": choose([row for row in worthy if row.split == "train"], set(), 6000),
        "eval": choose([row for row in worthy if row.split == "valid"], seen, 400),
    }
    lines = [
        json.dumps({"prompt": prompt, "split": split}) + "\n"
        for split, prompts in chosen.items()
        for prompt in prompts
    ]
    testbed.PROMPTS.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    note("prompts", {split: len(prompts) for split, prompts in chosen.items()})


@torch.no_grad()
def sample(prompts: Sequence[str], each: int) -> tuple[list[str], float]:
    """`each` full texts a prompt at temperature 1, top-p 0.95, and the share that ended."""
    torch.manual_seed(SAMPLE_SEED)
    tokenizer, model = load_tokenizer(), load_model().eval()
    texts, ended = [], []
    for first in range(0, len(prompts), 50):
        batch = tokenizer(
            list(prompts[first : first + 50]),
            return_tensors="pt",
            padding=True,
            padding_side="left",
        )
        ids = model.generate(
            **batch,
            do_sample=True,
            top_p=0.95,
            top_k=0,
            max_new_tokens=40,
            num_return_sequences=each,
        )
        texts += [t.strip() for t in tokenizer.batch_decode(ids, skip_special_tokens=True)]
        ended += (ids == EOS).any(1).tolist()
    return texts, float(np.mean(ended))


def agreement(gold: np.ndarray, proxy: np.ndarray) -> float:
    """Share of same-prompt pairs that both order alike, over the pairs gold does not tie."""
    pairs = list(combinations(range(gold.shape[1]), 2))
    by_gold, by_proxy = (np.stack([s[:, a] - s[:, b] for a, b in pairs]) for s in (gold, proxy))
    return float((by_gold * by_proxy > 0)[by_gold != 0].mean())


def vader(texts: Sequence[str]) -> np.ndarray:
    """VADER's compound score, the held-out judge: it trains nothing."""
    judge = SentimentIntensityAnalyzer()
    return np.array([judge.polarity_scores(text)["compound"] for text in texts])


def make_card(rows: Sequence[Sentence]) -> None:
    """Measure the model's own samples with both rewards and the judge, then write the card."""
    prompts = testbed.prompts("eval")
    texts, ended = sample(prompts, 4)
    shape = (len(prompts), 4)
    gold = Classifier.load("gold").log_odds(texts).reshape(shape)
    proxy = Classifier.load("proxy").log_odds(texts).reshape(shape)
    held_out, labels = labelled(rows, train=False)
    facts = {
        "agreement": agreement(gold, proxy),
        "positive": float((1 / (1 + np.exp(-gold))).mean()),
        "gold_spread": float(gold.std(1).mean()),
        "vader": float(vader(texts).mean()),
        "vader_accuracy": float(((vader(held_out) > 0) == labels).mean()),
        "eos": ended,
    }
    note("samples", {name: round(value, 4) for name, value in facts.items()})
    write_card(texts[:: len(texts) // 20][:20])


def write_card(samples: Sequence[str]) -> None:
    """Fill the model card's template with the noted numbers."""
    card = json.loads(CARD.read_text())
    template = (ROOT / "scripts/testbed_card.md").read_text()
    shown = "\n".join(f"- {text}" for text in samples)
    (TESTBED / "model/README.md").write_text(template.format(**card, shown=shown))


STEPS: dict[str, Callable[[Sequence[Sentence]], None]] = {
    "tokenizer": make_tokenizer,
    "model": make_model,
    "gold": make_gold,
    "proxy": make_proxy,
    "prompts": make_prompts,
    "lsa": make_lsa,
    "card": make_card,
}


def main() -> None:
    """Run the steps asked for, in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=STEPS, action="append", help="repeatable; default: all")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows = read_sentences()
    for name, step in STEPS.items():
        if asked.only is None or name in asked.only:
            step(rows)


if __name__ == "__main__":
    main()
