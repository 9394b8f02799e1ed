"""What frozen heads say of labelled pairs, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from prefloop.measure.clustered import numbered
from prefloop.oracles._attributes import Attributes
from prefloop.rewarding.heads import unique
from prefloop.types import Preference


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """Pairs as a gate sees them: what the heads say of both, and what is known of the prompt."""

    a: Float[np.ndarray, "pair attribute"]
    b: Float[np.ndarray, "pair attribute"]
    p: Float[np.ndarray, " pair"]
    """P(a ≻ b), the label"""
    which: Int[np.ndarray, " pair"]
    """the pair's prompt, a row of `prompts`"""
    prompts: Float[np.ndarray, "prompt width"]

    def among(self, kept: Bool[np.ndarray, " pair"]) -> "Weighed":
        """Some of the pairs."""
        a, b, p, which = (x[kept] for x in (self.a, self.b, self.p, self.which))
        return Weighed(a=a, b=b, p=p, which=which, prompts=self.prompts)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """By id; responses that do not fit the backbone are left out."""

    responses: dict[str, Float[np.ndarray, " attribute"]]
    prompts: dict[str, Float[np.ndarray, " width"]]

    @classmethod
    def by(cls, heads: Attributes, pairs: Sequence[Preference]) -> "Seen":
        """All that is compared, each text read once."""
        responses = unique(pairs)
        said = heads.attributes(responses)
        fits = ~np.isnan(said).any(1)
        asked = {r.prompt.id: r.prompt for r, fit in zip(responses, fits, strict=True) if fit}
        about = zip(asked, heads.of_prompts([*asked.values()]), strict=True) if asked else ()
        return cls(
            responses={r.id: x for r, x, fit in zip(responses, said, fits, strict=True) if fit},
            prompts=dict(about),
        )

    def known(self, pairs: Sequence[Preference]) -> list[Preference]:
        """Those with both responses."""
        return [p for p in pairs if {p.query.a.id, p.query.b.id} <= self.responses.keys()]

    def of(self, pairs: Sequence[Preference]) -> Float[np.ndarray, "response attribute"]:
        """What the heads say of each response that these pairs are about."""
        return np.stack([self.responses[r.id] for r in unique(pairs)])

    def weighed(self, pairs: Sequence[Preference]) -> Weighed:
        """Known pairs as arrays."""
        names = [pair.query.prompt.id for pair in pairs]
        return Weighed(
            a=np.stack([self.responses[pair.query.a.id] for pair in pairs]),
            b=np.stack([self.responses[pair.query.b.id] for pair in pairs]),
            p=np.array([pair.p for pair in pairs]),
            which=numbered(names),
            prompts=np.stack([self.prompts[name] for name in dict.fromkeys(names)]),
        )
