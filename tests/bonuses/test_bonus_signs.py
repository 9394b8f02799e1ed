"""Which responses a bonus makes rise, where every one of them can be listed.

The signs are the easiest thing to get wrong: XPO and SELM lower what the reference says, COPO
raises what was rarely counted, pessimism goes where the calibration is.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from prefloop.batches import SampleLogps
from prefloop.bonuses.copo import copo
from prefloop.bonuses.selm import selm
from prefloop.bonuses.sft import sft
from prefloop.bonuses.vpo import vpo
from prefloop.bonuses.xpo import xpo

REF = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
THETA = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
NOVELTY = torch.tensor([40.0, 8.0, 2.0], dtype=torch.float64).rsqrt()


def rises(
    bonus: Callable[[SampleLogps], Tensor],
    logits: Tensor,
    law: Tensor,
    *,
    ref: Tensor = REF,
    drawn: Tensor | None = None,
) -> Tensor:
    """−∂ E_law[bonus]/∂ logits: what gradient descent does to each response."""
    at = logits.clone().requires_grad_()
    y = at.log_softmax(0)
    s = SampleLogps(
        y=y,
        ref=ref.log(),
        drawn=(law if drawn is None else drawn).log(),
        length=torch.ones(3),
        novelty=NOVELTY,
        source=("reference",) * 3,
    )
    (slope,) = torch.autograd.grad((law * bonus(s)).sum(), at)
    return -slope


def test_optimism_moves_on_the_way_the_policy_has_already_gone() -> None:
    """−∇E_ref[log π] = π − π_ref: up exactly where π > π_ref."""
    policy = THETA.softmax(0)
    expected = torch.tensor([-0.146384885, -0.085521591, 0.231906476])
    torch.testing.assert_close(policy - REF, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(rises(partial(xpo, alpha=1.0), THETA, REF), policy - REF)
    half = partial(selm, alpha=5.0, beta=0.1)
    torch.testing.assert_close(rises(half, THETA, REF), 0.5 * (policy - REF))
    torch.testing.assert_close(rises(partial(vpo, alpha=5.0), THETA, REF), 0.5 * (policy - REF))


def test_at_the_reference_optimism_does_not_push_on_average_but_one_sample_does() -> None:
    at_start = REF.log()
    for bonus in (partial(xpo, alpha=1.0), selm, vpo):
        assert rises(bonus, at_start, REF).abs().max() < 1e-12
    mode = torch.tensor([1.0, 0.0, 0.0])
    assert rises(partial(xpo, alpha=1.0), at_start, mode, drawn=REF)[0] < 0, "greedy: down"


def test_pessimism_goes_where_the_calibration_is() -> None:
    policy = THETA.softmax(0)
    pessimist = partial(vpo, alpha=10.0, beta=0.1, mode="offline")
    torch.testing.assert_close(rises(pessimist, THETA, REF), REF - policy)
    assert rises(pessimist, REF.log(), REF).abs().max() < 1e-12, "at rest there"
    torch.testing.assert_close(rises(partial(sft, alpha=1.0), THETA, REF), REF - policy)


def test_beyond_its_bound_optimism_lets_a_response_be() -> None:
    """βΔ of the first response is −.0346, of the second −.0336, of the third +.077."""
    far = partial(vpo, alpha=10.0, beta=0.1, bound=0.034)
    free = rises(partial(xpo, alpha=1.0), THETA, torch.tensor([0.0, 0.3, 0.2]), drawn=REF)
    torch.testing.assert_close(rises(far, THETA, REF), free)


def test_copo_raises_what_is_new_above_the_policys_average() -> None:
    """The gradient of E_π[b] is π (b − E_π b), by importance sampling from the reference."""
    policy = THETA.softmax(0)
    gain = policy * (NOVELTY - policy @ NOVELTY)
    expected = torch.tensor([-0.098669630, -0.017928601, 0.116598231])
    torch.testing.assert_close(gain, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(rises(partial(copo, alpha=1.0), THETA, REF), gain)
    clipped = torch.tensor([-0.050684635, 0.011175770, 0.039508865])
    found = rises(partial(copo, alpha=1.0, clip=1.2), THETA, REF)
    torch.testing.assert_close(found, clipped, rtol=0, atol=1e-9)


def test_copo_on_its_own_samples_raises_the_rare_one() -> None:
    """π = π_ref = (.7, .2, .1), counts 70, 20, 10."""
    law = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    b = torch.tensor([70.0, 20.0, 10.0]).rsqrt()
    found = rises_with(b, law, law)
    expected = torch.tensor([-0.028341095, 0.012719332, 0.015621763])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_greedy_sample_turns_copo_round() -> None:
    """The one response taken is the mode, and is raised: b (e − π)."""
    law = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    b = torch.tensor([70.0, 20.0, 10.0]).rsqrt()
    found = rises_with(b, law, torch.tensor([1.0, 0.0, 0.0]))
    expected = torch.tensor([0.035856858, -0.023904572, -0.011952286])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def rises_with(novelty: Tensor, policy: Tensor, law: Tensor) -> Tensor:
    """COPO at the policy that drew the samples, with these counts."""
    at = policy.log().requires_grad_()
    s = SampleLogps(
        y=at.log_softmax(0),
        ref=policy.log(),
        drawn=policy.log(),
        length=torch.ones(3),
        novelty=novelty,
        source=("policy",) * 3,
    )
    (slope,) = torch.autograd.grad((law * copo(s, alpha=1.0)).sum(), at)
    return -slope


def test_a_step_of_copo_makes_rare_responses_likelier() -> None:
    law = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    b = torch.tensor([70.0, 20.0, 10.0]).rsqrt()
    after = (law.log() + rises_with(b, law, law)).softmax(0)
    expected = torch.tensor([0.691100446, 0.205733704, 0.103165850])
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-9)
