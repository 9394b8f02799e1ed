"""What every bonus promises. A check raises when the promise is broken."""

from collections.abc import Callable
from dataclasses import fields, replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from prefloop.batches import SampleLogps
from worlds import samples

Bonus = Callable[..., Tensor]


def push(bonus: Bonus, s: SampleLogps) -> Tensor:
    """∂bonus/∂log π of each sample: above zero where descent lowers it."""
    y = s.y.clone().requires_grad_()
    return torch.autograd.grad(bonus(replace(s, y=y)).sum(), y)[0]


def cut(s: SampleLogps, index: slice) -> SampleLogps:
    """Some of the samples."""
    return replace(s, **{f.name: getattr(s, f.name)[index] for f in fields(s)})


def one_value_per_sample(bonus: Bonus) -> None:
    assert bonus(samples(n=7)).shape == (7,)


def a_sample_is_worth_the_same_in_any_batch(bonus: Bonus) -> None:
    s = samples()
    parts = [bonus(cut(s, place)) for place in (slice(0, 1), slice(1, 20), slice(20, None))]
    torch.testing.assert_close(torch.cat(parts), bonus(s))


def at_zero_it_is_not_there(bonus: Bonus) -> None:
    s = samples()
    assert not bonus(s, alpha=0.0).any() and not push(lambda s: bonus(s, alpha=0.0), s).any()


def it_pushes_every_sample_the_same_way(bonus: Bonus) -> None:
    """Optimism or pessimism, not a bit of both: no sample's sign depends on its likelihood."""
    s = samples()
    assert len({*push(bonus, s).sign().tolist()} - {0.0}) == 1


def the_push_is_linear_in_its_strength(bonus: Bonus) -> None:
    s = samples()
    once, thrice = (push(lambda s, a=a: bonus(s, alpha=a), s) for a in (1.0, 3.0))
    torch.testing.assert_close(3 * once, thrice)


def it_is_finite_however_sure_the_policy_is(bonus: Bonus) -> None:
    for spread in (1e4, 1e-8):
        s = samples(spread=spread)
        assert bonus(s).isfinite().all() and push(bonus, s).isfinite().all()


def the_number_type_is_kept(bonus: Bonus) -> None:
    s = samples()
    tensors = {f.name: getattr(s, f.name) for f in fields(s) if f.name != "source"}
    assert bonus(s).dtype == torch.float64
    assert bonus(replace(s, **{k: v.float() for k, v in tensors.items()})).dtype == torch.float32


def a_negative_strength_is_refused(bonus: Bonus) -> None:
    try:
        bonus(samples(), alpha=-0.1)
    except ValueError as error:
        assert "got -0.1" in str(error)
    else:
        raise AssertionError("a negative alpha turns the bonus round")


def options_are_keywords_with_defaults(bonus: Bonus) -> None:
    _, *options = signature(bonus).parameters.values()
    assert all(o.kind is o.KEYWORD_ONLY and o.default is not o.empty for o in options)
    assert "alpha" in signature(bonus).parameters


def the_paper_is_named(bonus: Bonus) -> None:
    assert "arXiv:" in (bonus.__doc__ or "")


OF_EVERY_BONUS: tuple[Callable[[Any], None], ...] = (
    one_value_per_sample,
    a_sample_is_worth_the_same_in_any_batch,
    at_zero_it_is_not_there,
    it_pushes_every_sample_the_same_way,
    the_push_is_linear_in_its_strength,
    it_is_finite_however_sure_the_policy_is,
    the_number_type_is_kept,
    a_negative_strength_is_refused,
    options_are_keywords_with_defaults,
    the_paper_is_named,
)
