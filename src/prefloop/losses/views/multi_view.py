"""Multi-view InfoMax: keep what two views share, whatever else is kept."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import ViewCodes
from prefloop.losses.views._information import Negatives, dependence

aliases = ("mv_infomax",)


def multi_view(y: ViewCodes, *, negatives: Negatives = "all") -> Float[Tensor, " view"]:
    """Minus the information that the codes of two views share: ℓ = −Î(z₁; z₂).

    MV-InfoMax of Federici et al. 2020 (arXiv:2002.07017), the ablation "MVI" of RLP: the
    bottleneck without its divergence, so that nothing makes codes forget what one view alone says.
    """
    return -dependence(y, negatives)
