"""What every loss of a reward model promises. A check raises when the promise is broken."""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from typing import Any, get_type_hints

import torch
from loss_promises import options_are_keywords_with_defaults, single, tensors, the_paper_is_named
from torch import Tensor

from prefloop.batches import ListScores, PairScores, PointScores, SplitScores, detached

Loss = Callable[..., Tensor]


def score_pairs(n: int = 24, *, spread: float = 3.0) -> PairScores:
    """Answered queries, some for certain and some tied, scores between ±spread."""
    g = torch.Generator().manual_seed(0)
    a, b = (spread * (2 * torch.rand(n, generator=g) - 1) for _ in range(2))
    p = (4 * torch.rand(n, generator=g)).round() / 4
    return PairScores(a=a, b=b, p=p, strength=3 * torch.rand(n, generator=g))


def score_lists(n: int = 24, *, spread: float = 3.0) -> ListScores:
    """Lists of one to six responses, some of them tied."""
    g = torch.Generator().manual_seed(0)
    whose = torch.arange(n).repeat_interleave(torch.arange(n) % 6 + 1)
    score = spread * (2 * torch.rand(len(whose), generator=g) - 1)
    rank = torch.randint(1, 5, (len(whose),), generator=g).to(score.dtype)
    return ListScores(score=score, rank=rank, list=whose)


def score_points(n: int = 24, *, spread: float = 3.0) -> PointScores:
    """Ratings by three objectives, a third of them unknown, one response without any."""
    g = torch.Generator().manual_seed(0)
    score, target = (spread * (2 * torch.rand(n, 3, generator=g) - 1) for _ in range(2))
    unknown = torch.rand(n, 3, generator=g) < 1 / 3
    unknown[n // 2] = n > 1
    return PointScores(score=score, target=torch.where(unknown, torch.nan, target))


def split_scores(n: int = 24, *, spread: float = 3.0) -> SplitScores:
    """Answered queries by two heads, responses of 1 to 40 tokens; a batch that was not cut."""
    g = torch.Generator().manual_seed(0)
    a, b = (spread * (2 * torch.rand(n, 2, generator=g) - 1) for _ in range(2))
    p = (4 * torch.rand(n, generator=g)).round() / 4
    len_a, len_b = (torch.randint(1, 41, (n,), generator=g).to(a.dtype) for _ in range(2))
    y = SplitScores(a=a, b=b, p=p, len_a=len_a, len_b=len_b)
    return replace(y, whole=detached(y))


BATCHES: dict[type, Callable[..., Any]] = {
    PairScores: score_pairs,
    SplitScores: split_scores,
    ListScores: score_lists,
    PointScores: score_points,
}


def family(loss: Loss) -> type:
    """The type of the loss's first argument."""
    found: type = get_type_hints(loss)[next(iter(signature(loss).parameters))]
    if found not in BATCHES:
        raise LookupError(f"teach tests/contract/reward_promises.py to make a {found.__name__}")
    return found


def batch(loss: Loss, n: int = 24, *, spread: float = 3.0) -> Any:
    """So many rows of the loss's family, optional fields included."""
    return BATCHES[family(loss)](n, spread=spread)


def slopes(loss: Loss, y: Any) -> dict[str, Tensor]:
    """The gradient of the sum, by the scores' names."""
    y, leaves = requiring_grad(y)
    return dict(zip(leaves, torch.autograd.grad(loss(y).sum(), [*leaves.values()]), strict=True))


def requiring_grad(y: Any) -> tuple[Any, dict[str, Tensor]]:
    """The batch with gradients asked for its scores."""
    names = ("a", "b") if isinstance(y, PairScores | SplitScores) else ("score",)
    leaves = {name: getattr(y, name).clone().requires_grad_() for name in names}
    return replace(y, **leaves), leaves


def rows(y: Any, index: slice) -> Any:
    """Some rows of a batch; of lists, all their responses."""
    if not isinstance(y, ListScores):
        return replace(y, **{name: column[index] for name, column in tensors(y).items()})
    chosen = torch.isin(y.list, y.list.unique()[index])
    numbers = y.list[chosen].unique(return_inverse=True)[1]
    return ListScores(score=y.score[chosen], rank=y.rank[chosen], list=numbers)


def one_value_per_row(loss: Loss) -> None:
    assert loss(batch(loss, 7)).shape == (7,)
    assert loss(batch(loss, 1)).shape == (1,)
    assert loss(rows(batch(loss), slice(0, 0))).shape == (0,)


def the_gradient_matches_finite_differences(loss: Loss) -> None:
    y, leaves = requiring_grad(batch(loss, 7))
    run = lambda *found: loss(replace(y, **dict(zip(leaves, found, strict=True))))
    assert torch.autograd.gradcheck(run, tuple(leaves.values()))


def it_is_finite_however_sure_the_model_is(loss: Loss) -> None:
    for spread in (1e4, 1e-8, 0.0):
        y = batch(loss, spread=spread)
        for said in (loss(y), *slopes(loss, y).values()):
            assert said.isfinite().all()


def a_row_is_worth_the_same_in_any_batch(loss: Loss) -> None:
    y = batch(loss)
    parts = [loss(rows(y, s)) for s in (slice(0, 1), slice(1, 17), slice(17, None))]
    torch.testing.assert_close(torch.cat(parts), loss(y))


def the_number_type_is_kept(loss: Loss) -> None:
    assert loss(single(batch(loss))).dtype == torch.float32
    assert loss(batch(loss)).dtype == torch.float64


def the_batch_is_left_as_it_was(loss: Loss) -> None:
    y, before = batch(loss), batch(loss)
    assert not loss(y).requires_grad
    for name, column in tensors(y).items():
        assert torch.equal(column.nan_to_num(), tensors(before)[name].nan_to_num()), name


def naming_the_pair_the_other_way_round_changes_nothing(loss: Loss) -> None:
    y = batch(loss)
    torch.testing.assert_close(loss(y), loss(y.swap()))


def preferring_a_pushes_a_up_and_b_down(loss: Loss) -> None:
    """From equal scores, however weak the preference."""
    y = batch(loss)
    for p in (0.6, 1.0):
        slope = slopes(loss, replace(y, b=y.a, p=torch.full_like(y.p, p)))
        assert (slope["a"] < 0).all() and (slope["b"] > 0).all()


def a_soft_label_is_the_mean_of_hard_ones(loss: Loss) -> None:
    y = batch(loss)
    won, lost = (loss(replace(y, p=torch.full_like(y.p, p))) for p in (1.0, 0.0))
    torch.testing.assert_close(loss(y), y.p * won + (1 - y.p) * lost)


def the_level_of_a_pair_changes_nothing(loss: Loss) -> None:
    y = batch(loss)
    level = torch.linspace(-5, 5, len(y.a))
    torch.testing.assert_close(loss(replace(y, a=y.a + level, b=y.b + level)), loss(y))


def the_level_of_a_list_changes_nothing(loss: Loss) -> None:
    y = batch(loss)
    level = torch.linspace(-5, 5, int(y.list.max()) + 1)
    torch.testing.assert_close(loss(replace(y, score=y.score + level[y.list])), loss(y))


def in_what_order_the_responses_come_changes_nothing(loss: Loss) -> None:
    y = batch(loss)
    order = torch.randperm(len(y.score), generator=torch.Generator().manual_seed(1))
    mixed = ListScores(score=y.score[order], rank=y.rank[order], list=y.list[order])
    torch.testing.assert_close(loss(mixed), loss(y))


def ranks_are_an_order_and_no_more(loss: Loss) -> None:
    y = batch(loss)
    torch.testing.assert_close(loss(replace(y, rank=y.rank**2 / 3)), loss(y))


def the_best_is_pushed_up_and_the_worst_down(loss: Loss) -> None:
    """From equal scores, in lists without ties."""
    y = batch(loss)
    place = torch.cat([torch.arange(1.0, n + 1) for n in y.list.bincount().tolist()])
    slope = slopes(loss, replace(y, score=0 * y.score, rank=place))["score"]
    last = torch.cat([place[1:] == 1, torch.tensor([True])])
    several = y.list.bincount()[y.list] > 1
    assert (slope[several & (place == 1)] < 0).all() and (slope[several & last] > 0).all()


def the_tied_are_pushed_together(loss: Loss) -> None:
    y = batch(loss)
    slope = slopes(loss, replace(y, rank=torch.ones_like(y.rank)))["score"]
    for i in range(int(y.list.max()) + 1):
        of = y.score[y.list == i].sort()[1]
        sorted_slope = slope[y.list == i][of]
        assert (sorted_slope.diff() > 0).all() and abs(float(sorted_slope.sum())) < 1e-9


def known_ratings_pull_and_unknown_ones_do_not(loss: Loss) -> None:
    y = batch(loss)
    slope, told = slopes(loss, y)["score"], ~y.target.isnan()
    assert (slope[told] * (y.score - y.target)[told] > 0).all()
    assert (slope[~told] == 0).all()


def a_response_that_is_rated_right_costs_nothing(loss: Loss) -> None:
    y = batch(loss)
    right = replace(y, score=torch.where(y.target.isnan(), y.score, y.target))
    assert (loss(y) >= 0).all() and (loss(right) == 0).all()


OF_EVERY_LOSS = (
    one_value_per_row,
    the_gradient_matches_finite_differences,
    it_is_finite_however_sure_the_model_is,
    a_row_is_worth_the_same_in_any_batch,
    the_number_type_is_kept,
    the_batch_is_left_as_it_was,
    options_are_keywords_with_defaults,
    the_paper_is_named,
)
OF_A_FAMILY: dict[type, tuple[Callable[[Loss], None], ...]] = {
    PairScores: (
        naming_the_pair_the_other_way_round_changes_nothing,
        preferring_a_pushes_a_up_and_b_down,
        a_soft_label_is_the_mean_of_hard_ones,
        the_level_of_a_pair_changes_nothing,
    ),
    ListScores: (
        the_level_of_a_list_changes_nothing,
        in_what_order_the_responses_come_changes_nothing,
        ranks_are_an_order_and_no_more,
        the_best_is_pushed_up_and_the_worst_down,
        the_tied_are_pushed_together,
    ),
    SplitScores: (
        naming_the_pair_the_other_way_round_changes_nothing,
        a_soft_label_is_the_mean_of_hard_ones,
    ),
    PointScores: (
        known_ratings_pull_and_unknown_ones_do_not,
        a_response_that_is_rated_right_costs_nothing,
    ),
}
