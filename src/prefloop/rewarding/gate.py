"""From attributes and preferences to the folder of a gated reward model, whole or not at all."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from prefloop.config import ConfigError
from prefloop.engine.single import settle_threads
from prefloop.measure.intervals import Interval
from prefloop.measure.reward import accuracy
from prefloop.models.gate import Mixture
from prefloop.models.load import find_device
from prefloop.oracles import _attributes
from prefloop.rewarding.debias import check_index, correlation
from prefloop.rewarding.evaluate import Evaluation
from prefloop.rewarding.gating import GateRequest
from prefloop.rewarding.mixture import Learned, begun, learn
from prefloop.rewarding.parts import of_folder
from prefloop.rewarding.rows import comparisons, read
from prefloop.rewarding.seen import Seen, Weighed
from prefloop.rewarding.train import (
    REPORT,
    Told,
    check_free,
    measured,
    partial_folder,
    prompts,
    settle,
    split,
)
from prefloop.rng import key, stream
from prefloop.runs.folder import versions
from prefloop.types import Preference


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Accuracy on the same pairs without a gate: what it has to beat."""

    uniform: Interval
    """all attributes, alike"""
    best: Interval
    """one of them alone"""
    attribute: int
    """which: the one that is right most often in training"""


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """What became of one of the heads."""

    penalty: float
    """λ: how much of verbosity is taken off it"""
    before: float | None
    """Spearman with verbosity, over the responses learned from"""
    after: float | None
    weight: float
    """the gate's, over the prompts learned from: mean, and the middle 80 % of them"""
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What came of it; None where there was nothing decided to measure it by."""

    folder: Path
    report: dict[str, Any]
    attributes: list[Attribute]
    held_out: Evaluation | None
    beside: Beside | None


def gate(request: GateRequest, out: Path, told: Told = lambda done, total: None) -> Gated:
    """Train a gate, measure it on prompts left out, and write one folder of heads and gate.

    The heads are copied as they are. ValueError where something is there already.
    """
    check_free(out)
    config, gating, begin = request.config, request.gating, monotonic()
    settle_threads(config.model.threads)
    folder, options = _source(request)
    heads = _attributes.read(folder, **options)
    _check(request, heads.shape[0])
    rows = read(request.source, config.data.limit)
    fitted, held = map(comparisons, split(rows, gating.holdout, config.seed))
    seen = Seen.by(heads, [*fitted, *held])
    kept = _fitting(seen, fitted)
    mixture, learned = _trained(request, seen.weighed(kept), seen.of(kept), told)
    part = partial_folder(out)
    shutil.copytree(folder, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(REPORT))
    mixture.save(part)
    found = measured("gated", {"path": str(part), **options}, held)
    pairs = seen.weighed(kept)
    beside = _beside(mixture, pairs, seen.weighed(seen.known(held))) if found else None
    attributes = _attributes_of(mixture, pairs, seen.of(kept))
    report = {
        "kind": "gate",
        "source": request.source,
        "attributes_from": request.attributes,
        "rows_too_long": len(fitted) - len(kept),
        "prompts": prompts(fitted),
        "prompts_held_out": prompts(held),
        **_learning(mixture, learned),
        "attributes": [asdict(one) for one in attributes],
        "seconds": monotonic() - begin,
        "settings": {"seed": config.seed, "gate": gating.model_dump()},
        "versions": versions(),
        "held_out": found.json if found else None,
        "held_out_beside": _json(beside) if beside else None,
    }
    settle(part, out, report)
    return Gated(folder=out, report=report, attributes=attributes, held_out=found, beside=beside)


def _trained(
    request: GateRequest,
    pairs: Weighed,
    responses: Float[np.ndarray, "response attribute"],
    told: Told,
) -> tuple[Mixture, Learned]:
    """A gate from the seed, trained where the settings say, and brought back."""
    config, gating = request.config, request.gating
    seed, draws = key(config.seed, "gate"), stream(config.seed, "gate", "batches")
    mixture = begun(pairs, responses, gating, verbosity=request.verbosity, seed=seed)
    learned = learn(mixture.to(find_device(config.model.device)), pairs, gating, draws, told)
    return mixture.cpu(), learned


def _learning(mixture: Mixture, learned: Learned) -> dict[str, Any]:
    return {
        "rows": learned.fitted,
        "rows_watched": learned.watched,
        "loss": learned.losses,
        "loss_watched": learned.loss_watched,
        "step_kept": learned.kept,
        "scale": float(mixture.log_scale.detach().exp()),
    }


def _source(request: GateRequest) -> tuple[Path, dict[str, Any]]:
    """Where the heads are, and how they are read; ConfigError where there are none."""
    name, found = of_folder(Path(request.attributes))
    model = request.config.model
    if name == "feature_head":
        return Path(found["path"]), {}
    if name == "reward_model":
        cut = "keep_end" if request.config.data.overflow == "keep_end" else "missing"
        return Path(found["path"]), {
            "device": model.device,
            "max_tokens": model.max_tokens,
            "overflow": cut,
        }
    kind = "a gate already" if name == "gated" else "a model that reads two responses at once"
    raise ConfigError(
        f"{request.attributes} holds {kind}; give a folder that prefloop reward train wrote with "
        "reward.loss=regression reward.heads=2 or more"
    )


def _check(request: GateRequest, heads: int) -> None:
    if heads < 2:
        raise ConfigError(
            f"a gate needs at least 2 attributes to weigh, and {request.attributes} has {heads}; "
            "train it with reward.loss=regression reward.heads=2 or more"
        )
    if request.verbosity is not None:
        check_index(request.verbosity, heads)


def _fitting(seen: Seen, pairs: Sequence[Preference]) -> list[Preference]:
    found = seen.known(pairs)
    if all(pair.p == 0.5 for pair in found):
        raise ConfigError(
            f"of {len(pairs)} pairs to learn from {len(found)} fit the backbone's context, and "
            "none of those is decided; set data.overflow to keep_end to keep the end of long "
            "prompts"
        )
    return found


@torch.no_grad()
def _gaps(mixture: Mixture, pairs: Weighed) -> Float[np.ndarray, "pair attribute"]:
    like = mixture.level
    a, b = (mixture.debiased(like.new_tensor(x)) for x in (pairs.a, pairs.b))
    return np.asarray((a - b).double().numpy())


def _beside(mixture: Mixture, fitted: Weighed, held: Weighed) -> Beside:
    learned, gaps = _gaps(mixture, fitted), _gaps(mixture, held)
    right = [accuracy(gap, fitted.p).value for gap in learned.T]
    best = int(np.argmax(right))
    return Beside(
        uniform=accuracy(gaps.mean(1), held.p, held.which),
        best=accuracy(gaps[:, best], held.p, held.which),
        attribute=best,
    )


@torch.no_grad()
def _attributes_of(
    mixture: Mixture, pairs: Weighed, responses: Float[np.ndarray, "response attribute"]
) -> list[Attribute]:
    weights = mixture.gate(mixture.level.new_tensor(pairs.prompts)).double().numpy()
    low, high = np.quantile(weights, [0.1, 0.9], axis=0)
    wordy = None if mixture.verbosity is None else responses[:, mixture.verbosity]
    found = []
    for k, penalty in enumerate(mixture.penalty.double().tolist()):
        rho = [
            None if wordy is None else correlation(responses[:, k], wordy, x)
            for x in (0.0, penalty)
        ]
        found.append(
            Attribute(
                penalty=penalty,
                before=rho[0],
                after=rho[1],
                weight=float(weights[:, k].mean()),
                low=float(low[k]),
                high=float(high[k]),
            )
        )
    return found


def _json(beside: Beside) -> dict[str, Any]:
    best = {"attribute": beside.attribute, **beside.best._asdict()}
    return {"uniform": beside.uniform._asdict(), "best": best}
