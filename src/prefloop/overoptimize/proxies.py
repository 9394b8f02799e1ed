"""Proxies that are trained: on so many comparisons of π₀'s samples, labelled by the true reward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from prefloop import whole
from prefloop.compare.plan import Job
from prefloop.config import ConfigError, Part
from prefloop.overoptimize import ngrams
from prefloop.overoptimize.draws import Draws, Scores
from prefloop.overoptimize.request import Proxy, Request
from prefloop.testbed.classifier import Classifier
from prefloop.types import Scorer

Pool = Callable[[int], Draws]
"""a seed's pairs of responses"""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A proxy of one seed, ready to score."""

    proxy: Proxy
    seed: int
    part: Part


def copies(request: Request, proxy: Proxy) -> int:
    """How many there are of a proxy: one that is there already is the same for every seed."""
    return 1 if proxy.kind == "given" else request.seeds


def given(proxy: Proxy) -> Trained:
    """A scorer that is there already."""
    return Trained(proxy=proxy, seed=0, part=proxy.part or Part(name=proxy.name))


def classifier(proxy: Proxy, seed: int, pool: Pool, gold: Scorer, out: Path) -> Trained:
    """A classifier of the testbed's family; labels are certain: gold's better one always wins.

    Gao et al. 2022 (arXiv:2210.10760) label so. Scores have mean 0 and standard deviation 1 on the
    samples it was trained on, so that β means the same for every proxy.
    """
    path = out / "proxies" / proxy.folder / f"seed-{seed}.safetensors"
    if not path.exists():
        pairs = pool(seed)
        scores = pairs.scored(gold)
        kept = _decided(scores, proxy)
        texts = [r.full_text for r in pairs.responses]
        chosen = [(texts[2 * i], texts[2 * i + 1]) for i in kept]
        fitted = ngrams.fit(chosen, [float(scores[i, 0] > scores[i, 1]) for i in kept])
        ngrams.save(_normalised(fitted, [text for pair in chosen for text in pair]), path)
    return Trained(proxy=proxy, seed=seed, part=Part(name="proxy", path=str(path)))


def _decided(scores: Scores, proxy: Proxy) -> Int[np.ndarray, " label"]:
    """The first pairs that gold has a favourite in, as many as the proxy has labels."""
    found: Int[np.ndarray, " pair"] = (scores[:, 0] != scores[:, 1]).nonzero()[0]
    if len(found) < proxy.labels:
        raise ConfigError(
            f"{proxy.name} learns from {proxy.labels} labels, and the true reward has a favourite "
            f"in {len(found)} of {len(scores)} pairs; ask for fewer, or give a measure.gold that "
            "ties less often"
        )
    return found[: proxy.labels]


def reward_job(request: Request, proxy: Proxy, seed: int, out: Path) -> Job:
    """The run that trains a reward model on the answers of one round, and then stops climbing.

    One round of the recipe `ppo` on as few samples as can be: its reward model is what is wanted.
    """
    backbone = {} if proxy.depth is None else {"reward.path": str(shallow(request, proxy, out))}
    settings: dict[str, Any] = {
        "recipe": "ppo",
        "rounds": 1,
        "seed": seed,
        "ask.labels": proxy.labels,
        "ask.oracle": thresholded(request.base.measure.gold),
        "sample.prompts": 2,
        "measure.prompts": 2,
        "measure.kl_samples": 2,
        "measure.judges": [],
        **backbone,
    }
    return Job(
        method=proxy.name,
        point="trained",
        seed=seed,
        config=request.base.override(settings),
        folder=out / "proxies" / proxy.folder / f"seed-{seed}",
    )


def rewarded(proxy: Proxy, seed: int, folder: Path) -> Trained:
    """The reward model in the folder of such a run."""
    model = folder / "rewards" / "round-0001"
    return Trained(proxy=proxy, seed=seed, part=Part(name="reward_model", path=str(model)))


def thresholded(scorer: Part | None) -> dict[str, Any]:
    """An oracle whose labels are certain: the scorer's better one always wins."""
    inner = scorer.model_dump(mode="json") if scorer else None
    return {"name": "bradley_terry", "scorer": inner, "labels": "thresholded"}


def shallow(request: Request, proxy: Proxy, out: Path) -> Path:
    """The policy's first layers alone, as a model folder."""
    folder = out / "proxies" / f"{proxy.depth}-layers"
    if not folder.exists():
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        from prefloop.models.load import location

        path, said = location(request.base.model.path), logging.get_verbosity()
        logging.set_verbosity_error()  # the layers left out are meant to be
        try:
            model = AutoModelForCausalLM.from_pretrained(path, num_hidden_layers=proxy.depth)
        finally:
            logging.set_verbosity(said)
        with whole.folder(folder) as part:
            model.save_pretrained(part)
            AutoTokenizer.from_pretrained(path).save_pretrained(part)
    return folder


def _normalised(classifier: Classifier, texts: Sequence[str]) -> Classifier:
    scores = classifier.log_odds(texts)
    spread = float(scores.std()) or 1.0
    return replace(
        classifier, weight=classifier.weight / spread, bias=-float(scores.mean()) / spread
    )
