"""What the answers leave open: the Laplace posterior of a Bradley–Terry fit with a ridge."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory import comparisons


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """r ~ N(r̂, H⁻¹) for every prompt, H the curvature of the ridge loss at its minimum r̂.

    The ridge is the inverse variance of a normal prior. One factor L of H⁻¹ = LLᵀ is all there is:
    r̂ + Lz are its samples, and the rows of L lie as far apart as r(i) − r(j) is uncertain, which is
    what an exploration rule calls features.
    """

    mode: Float[Tensor, "prompt response"]
    factor: Float[Tensor, "prompt response response"]

    @classmethod
    def laplace(
        cls,
        wins: Float[Tensor, "prompt response response"],
        mode: Float[Tensor, "prompt response"],
        *,
        ridge: float,
    ) -> "Posterior":
        """Around the fit; ValueError without a ridge, which leaves the level of r unknown."""
        if not ridge > 0:
            raise ValueError(
                f"ridge must be positive for a posterior, got {ridge:g}: comparisons alone never "
                "tell the level of the reward; set it to the prior's inverse variance, such as 1"
            )
        curved = comparisons.curvature(wins, mode, ridge=ridge)
        return cls(mode=mode, factor=torch.linalg.cholesky(torch.linalg.inv(curved)))

    def draw(
        self, members: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "prompt member response"]:
        """So many rewards for each prompt: an ensemble without sampling error in what it measures.

        The members' mean is r̂ and their covariance (by M − 1) is H⁻¹ exactly, so that rules that
        rank pairs by the members' variance rank by the posterior's. One alone is spread like
        (1 − 1/M) H⁻¹.
        """
        prompts, responses = self.mode.shape
        if members <= responses:
            raise ValueError(
                f"members must be more than the {responses} responses to have the posterior's "
                f"covariance, got {members}; raise Lab(members=…)"
            )
        drawn = torch.from_numpy(rng.standard_normal((prompts, members, responses)))
        columns, upper = torch.linalg.qr(drawn - drawn.mean(1, keepdim=True))
        sign = torch.diagonal(upper, dim1=-2, dim2=-1).sign().unsqueeze(1)
        noise = columns * sign * (members - 1) ** 0.5
        found: Float[np.ndarray, "prompt member response"] = (
            self.mode.unsqueeze(1) + noise @ self.factor.mT
        ).numpy()
        return found

    @property
    def features(self) -> Float[np.ndarray, "prompt response feature"]:
        """‖φ(i) − φ(j)‖ is the standard deviation of r(i) − r(j)."""
        found: Float[np.ndarray, "prompt response feature"] = self.factor.numpy()
        return found
