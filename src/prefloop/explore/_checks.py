"""What a rule asks of its candidates, checked once."""

import numpy as np
from jaxtyping import Float

from prefloop.types import Candidates

Scores = Float[np.ndarray, "member candidate"]


def at_least_two(candidates: Candidates) -> int:
    """K; ValueError when there is nothing to compare."""
    count = len(candidates.responses)
    if count < 2:
        raise ValueError(
            f"candidates must be at least 2 to compare, got {count}; raise sample.sources"
        )
    return count


def mean_scores(candidates: Candidates) -> Float[np.ndarray, " candidate"]:
    """The members' mean score of each candidate; ValueError unless all are there and finite."""
    remedy = "set explore.scorer, for example explore.scorer=proxy"
    mean: Float[np.ndarray, " candidate"] = _scores(candidates, "to be ranked", remedy).mean(0)
    return mean


def member_scores(candidates: Candidates) -> Scores:
    """Every member's score of each candidate; ValueError unless two members disagree.

    Members that say exactly the same measure no doubt: every pair would tie, and the first be
    asked about for ever. Members that differ by a constant are an honest ensemble without a doubt
    about these candidates.
    """
    remedy = "set explore.features, and explore.members for how many"
    scores = _scores(candidates, "by an ensemble to find its doubts", remedy)
    if len(scores) < 2:
        raise ValueError(
            "members must be at least 2 to disagree, got 1; raise explore.members, or choose a "
            "rule that needs scores only, such as best_worst"
        )
    if (scores == scores[0]).all():
        raise ValueError(
            f"members must differ to measure doubt, got {len(scores)} equal rows "
            f"{scores[0].tolist()}: the ensemble's variance is zero; give it features that are not "
            "all zero (explore.features), or members fitted from different priors"
        )
    return scores


def placed(candidates: Candidates) -> Float[np.ndarray, "candidate feature"]:
    """The candidates' features; ValueError unless all are there and finite."""
    count = at_least_two(candidates)
    features = candidates.features
    if features is None:
        raise ValueError(
            "candidates must have features to measure how uncertain a pair is, got no features; "
            "set explore.features"
        )
    if features.ndim != 2 or len(features) != count:
        raise ValueError(
            f"features must be [candidate, feature] for {count} candidates, "
            f"got shape {features.shape}; make them for these candidates"
        )
    if not np.isfinite(features).all():
        bad = int(np.flatnonzero(~np.isfinite(features).all(1))[0])
        raise ValueError(
            f"features must be finite, got {features[bad].tolist()} for candidate {bad}; leave it "
            "out, or set other explore.features"
        )
    return features


def grouped(candidates: Candidates) -> tuple[int, ...]:
    """The number of each candidate's cluster; ValueError unless all are there."""
    count, ids = at_least_two(candidates), candidates.clusters
    if ids is None:
        raise ValueError(
            "candidates must be clustered to find what most of them say, got no clusters; set "
            "explore.clusters, for example explore.clusters=cosine"
        )
    if len(ids) != count:
        raise ValueError(
            f"clusters must have a number for each of {count} candidates, got {len(ids)}; make "
            "them for these candidates"
        )
    return ids


def _scores(candidates: Candidates, purpose: str, remedy: str) -> Scores:
    count = at_least_two(candidates)
    scores = candidates.scores
    if scores is None:
        raise ValueError(f"candidates must be scored {purpose}, got no scores; {remedy}")
    if scores.ndim != 2 or not len(scores) or scores.shape[1] != count:
        raise ValueError(
            f"scores must be [member, candidate] for {count} candidates, got shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be finite to rank candidates, got {scores.tolist()}; "
            "leave out the candidates that could not be scored"
        )
    return scores
