"""What every loss promises. A check raises when the promise is broken."""

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from inspect import signature
from typing import Any, get_type_hints

import torch
from torch import Tensor

from prefloop.batches import PairLogps, PointLogps, TokenLogps
from worlds import pairs, points, tokens

Loss = Callable[..., Tensor]
BATCHES: dict[type, Callable[..., Any]] = {
    PairLogps: pairs,
    PointLogps: points,
    TokenLogps: tokens,
}
LEARNED = {PairLogps: ("a", "b"), PointLogps: ("y",), TokenLogps: ("y",)}


def family(loss: Loss) -> type:
    """The type of the loss's first argument."""
    hints = get_type_hints(loss)
    found: type = hints[next(iter(signature(loss).parameters))]
    if found not in BATCHES:
        raise LookupError(f"teach tests/contract/loss_promises.py to make a {found.__name__}")
    return found


def batch(loss: Loss, **size: Any) -> Any:
    """A batch of the loss's family, optional fields included."""
    return BATCHES[family(loss)](**size)


def learned(loss: Loss) -> tuple[str, ...]:
    """The fields that a model is behind; a critic's only where the loss needs one."""
    needs = getattr(sys.modules[loss.__module__], "needs", ())
    return LEARNED[family(loss)] + (("value",) if "value" in needs else ())


def requiring_grad(loss: Loss, y: Any) -> tuple[Any, list[Tensor]]:
    """The batch with gradients asked for what is learned, and those tensors."""
    leaves = {name: getattr(y, name).clone().requires_grad_() for name in learned(loss)}
    return replace(y, **leaves), list(leaves.values())


def rows(y: Any, index: slice) -> Any:
    """Some rows of a batch; its constants, and what is known of the whole, as they are.

    Of tokens, all those of some responses.
    """
    if isinstance(y, TokenLogps):
        return _responses(y, index)
    kept = {k: v[index] for k, v in tensors(y).items() if v.ndim and k != "mismatch"}
    return replace(y, **kept)


def _responses(y: TokenLogps, index: slice) -> TokenLogps:
    chosen = torch.isin(y.response, y.response.unique()[index])
    kept: dict[str, Any] = {k: v[chosen] for k, v in tensors(y).items() if v.ndim}
    kept["response"] = kept["response"].unique(return_inverse=True)[1]
    return replace(y, **kept)


def tensors(y: Any) -> dict[str, Tensor]:
    """The columns of a batch that it has."""
    found = {f.name: getattr(y, f.name) for f in fields(y)}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def single(y: Any) -> Any:
    """The batch in float32, and the whole it is part of."""
    narrow = {k: v.float() for k, v in tensors(y).items() if v.is_floating_point()}
    whole = getattr(y, "whole", None)
    return replace(y, **narrow, **({"whole": single(whole)} if whole is not None else {}))


def one_value_per_row(loss: Loss) -> None:
    assert loss(batch(loss, n=7)).shape == (7,)
    assert loss(batch(loss, n=1)).shape == (1,)


def naming_the_pair_the_other_way_round_changes_nothing(loss: Loss) -> None:
    y = batch(loss)
    torch.testing.assert_close(loss(y), loss(y.swap()))


def preferring_a_pushes_a_up_and_b_down(loss: Loss) -> None:
    """At the reference, where both are equally likely: no loss is at rest there."""
    y = batch(loss)
    y = replace(y, b=y.a, ref_a=y.a, ref_b=y.a, p=torch.ones_like(y.p))
    y, leaves = requiring_grad(loss, y)
    up, down = torch.autograd.grad(loss(y).sum(), leaves)
    assert (up < 0).all() and (down > 0).all()


def a_desirable_response_is_pushed_up_and_no_undesirable_one_is(loss: Loss) -> None:
    y, leaves = requiring_grad(loss, batch(loss))
    (slope,) = torch.autograd.grad(loss(y).sum(), leaves)
    assert (slope[y.desirable] < 0).all() and (slope[~y.desirable] >= 0).all()


def as_drawn(y: TokenLogps) -> TokenLogps:
    """Before the first step, and with one advantage for all tokens of a response."""
    first = torch.searchsorted(y.response, y.response)
    return replace(y, old=y.y, advantage=y.advantage[first])


def a_better_response_than_expected_is_pushed_up_and_a_worse_one_down(loss: Loss) -> None:
    y, (leaf, *_) = requiring_grad(loss, as_drawn(batch(loss)))
    (slope,) = torch.autograd.grad(loss(y).sum(), leaf)
    assert (slope.sign() == -y.advantage.sign()).all()


def on_the_first_step_it_is_the_policy_gradient(loss: Loss) -> None:
    """−A at every token, times one number."""
    y, (leaf, *_) = requiring_grad(loss, as_drawn(batch(loss)))
    (slope,) = torch.autograd.grad(loss(y).sum(), leaf)
    torch.testing.assert_close(slope / slope[0], y.advantage / y.advantage[0])


def the_gradient_matches_finite_differences(loss: Loss) -> None:
    y, leaves = requiring_grad(loss, batch(loss, n=5))
    names = learned(loss)
    run = lambda *found: loss(replace(y, **dict(zip(names, found, strict=True))))
    assert torch.autograd.gradcheck(run, leaves)


def it_is_finite_however_sure_the_policy_is(loss: Loss) -> None:
    for spread, certain in ((1e4, False), (1e4, True), (1e-8, False)):
        y = batch(loss, spread=spread)
        if certain and isinstance(y, PairLogps):
            y = replace(y, p=y.p.round())
        y, leaves = requiring_grad(loss, y)
        values = loss(y)
        assert values.isfinite().all()
        assert all(g.isfinite().all() for g in torch.autograd.grad(values.sum(), leaves))


def a_row_is_worth_the_same_in_any_batch(loss: Loss) -> None:
    y = batch(loss)
    parts = [loss(rows(y, s)) for s in (slice(0, 1), slice(1, 20), slice(20, None))]
    torch.testing.assert_close(torch.cat(parts), loss(y))


def the_number_type_is_kept(loss: Loss) -> None:
    y = batch(loss)
    assert loss(single(y)).dtype == torch.float32
    assert loss(y).dtype == torch.float64


def the_batch_is_left_as_it_was(loss: Loss) -> None:
    y, before = batch(loss), batch(loss)
    value = loss(y)
    assert not value.requires_grad
    for name, value in tensors(y).items():
        assert torch.equal(value, tensors(before)[name]), name
    for name, value in tensors(getattr(y, "whole", y)).items():
        assert torch.equal(value, tensors(getattr(before, "whole", before))[name]), name


def options_are_keywords_with_defaults(loss: Loss) -> None:
    _, *options = signature(loss).parameters.values()
    assert all(o.kind is o.KEYWORD_ONLY and o.default is not o.empty for o in options)


def the_paper_is_named(loss: Loss) -> None:
    assert "arXiv:" in (loss.__doc__ or "")


OF_EVERY_LOSS = (
    one_value_per_row,
    the_gradient_matches_finite_differences,
    it_is_finite_however_sure_the_policy_is,
    a_row_is_worth_the_same_in_any_batch,
    the_number_type_is_kept,
    the_batch_is_left_as_it_was,
    options_are_keywords_with_defaults,
    the_paper_is_named,
)
OF_A_FAMILY: dict[type, tuple[Callable[[Loss], None], ...]] = {
    PairLogps: (
        naming_the_pair_the_other_way_round_changes_nothing,
        preferring_a_pushes_a_up_and_b_down,
    ),
    PointLogps: (a_desirable_response_is_pushed_up_and_no_undesirable_one_is,),
    TokenLogps: (
        a_better_response_than_expected_is_pushed_up_and_a_worse_one_down,
        on_the_first_step_it_is_the_policy_gradient,
    ),
}
