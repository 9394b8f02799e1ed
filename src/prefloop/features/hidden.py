"""What the reference policy itself makes of a response."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from prefloop.types import Response


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """The reference policy's last hidden state at the response's last token.

    The features of COPO (arXiv:2501.12735), read at the last valid token instead of at a pad. They
    cost a forward pass, and every new reference is a new space in which old counts mean nothing;
    so `states` must be of one reference throughout, such as the policy that the run began with.
    """

    states: Callable[[Sequence[Response]], Float[np.ndarray, "response width"]]
    """`models.states.last_states` of that policy; the run supplies it"""

    def features(self, responses: Sequence[Response]) -> Float[np.ndarray, "response width"]:
        return self.states(responses)
