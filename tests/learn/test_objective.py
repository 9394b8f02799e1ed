"""A loss that must know the whole batch, a bonus on samples: one gradient however it is cut."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from test_learner import SETTINGS, changed, close, plainly, policy, reference, rows
from torch import Tensor

from prefloop.batches import PointLogps, SampleLogps
from prefloop.bonuses.copo import copo
from prefloop.bonuses.vpo import vpo
from prefloop.learn.collate import trees
from prefloop.learn.facts import Facts, Row, name_of, responses_of, strangers
from prefloop.learn.learner import Learner, Plan
from prefloop.losses.dpo import dpo
from prefloop.losses.inpo import inpo
from prefloop.losses.kto import kto
from prefloop.losses.kto_pair import kto_pair
from prefloop.losses.sail import sail
from prefloop.types import Preference, Prompt, Query, Response

ALL = Plan(batches=(tuple(range(8)),))


def sampled(row: Row) -> Row:
    """The row with a response that π drew in place of each."""
    assert isinstance(row, Preference)
    a, b = (replace(r, source="policy") for r in responses_of(row))
    return replace(row, query=replace(row.query, a=a, b=b))


def facts_of(chosen: list[Row]) -> Facts:
    """Facts of every kind, under other models, with a sample beside each pair."""
    extra = {
        name_of(row): replace(
            responses_of(row)[0], id=f"s{i}", tokens=tuple(range(5 + i, 9 + i)), source="reference"
        )
        for i, row in enumerate(chosen)
    }
    everything: list[Row] = [*chosen, *extra.values()]
    ref = reference(everything, 1).ref
    with_strangers = ref | {r.id: ref[r.id.split("~")[1]] - 1.0 for r in strangers(chosen)}
    own = {r.id for row in everything for r in responses_of(row)}
    return Facts(
        ref=with_strangers,
        prev=reference(everything, 2).ref,
        drawn=reference(everything, 3).ref,
        novelty={name: 1 / (1 + i) for i, name in enumerate(sorted(own))},
        samples={name: ((response, 1.0),) for name, response in extra.items()},
    )


def gradient(
    loss: Callable[..., Tensor], bonus: Any = None, tokens: int = 10_000
) -> tuple[dict[str, Tensor], dict[str, float], int]:
    """Of one step on all rows; what it reports; and how many tokens it computed."""
    mine, chosen = policy(), [sampled(row) for row in rows("dpo")]
    learner = Learner(mine, loss, SETTINGS.model_copy(update={"tokens": tokens}), bonus)
    (tally,) = learner.steps(chosen, facts_of(chosen), ALL)
    found = {n: p.grad.clone() for n, p in mine.model.named_parameters() if p.grad is not None}
    return found, tally.means(), tally.tokens


CASES = {
    "kto_pair": (kto_pair, None),
    "sail": (partial(sail, gamma=1.0), None),
    "kto": (kto, None),
    "inpo": (partial(inpo, eta=0.5, tau=0.2), None),
    "vpo": (dpo, partial(vpo, alpha=3.0)),
    "copo": (dpo, partial(copo, alpha=2.0)),
}


@pytest.mark.parametrize("share", [0.0, 0.7], ids=["a tree at a time", "in two"])
@pytest.mark.parametrize("name", CASES)
def test_a_step_does_not_depend_on_its_token_budget(name: str, share: float) -> None:
    loss, bonus = CASES[name]
    whole, said, tokens = gradient(loss, bonus)
    cut, told, _ = gradient(loss, bonus, tokens=max(1, int(share * tokens)))
    close(cut, whole)
    assert told == pytest.approx(said, rel=1e-4, abs=1e-6)


def test_a_bonus_adds_the_mean_over_rows_of_its_samples_gradients() -> None:
    """The plain way: one response at a time."""
    chosen = [sampled(row) for row in rows("dpo")]
    facts, mine = facts_of(chosen), policy()
    logp = lambda r: plainly(mine.model, r)
    terms = []
    for row in chosen:
        assert isinstance(row, Preference)
        a, b = responses_of(row)
        h = 0.1 * ((logp(a) - facts.ref[a.id]) - (logp(b) - facts.ref[b.id]))
        loss = -row.p * h.sigmoid().log() - (1 - row.p) * (-h).sigmoid().log()
        ((y, _),) = facts.samples[name_of(row)]
        ratio = (logp(y).detach() - facts.drawn[y.id]).exp().clamp(max=5.0)
        terms.append(loss - 2.0 * ratio * facts.novelty[y.id] * logp(y))
    torch.stack(terms).mean().backward()
    plain = {n: p.grad for n, p in mine.model.named_parameters() if p.grad is not None}
    close(gradient(dpo, partial(copo, alpha=2.0))[0], plain)


def test_a_bonus_on_a_response_that_was_asked_about_costs_no_token() -> None:
    chosen = [sampled(row) for row in rows("dpo")]
    facts = facts_of(chosen)
    asked = replace(facts, samples={name_of(r): ((responses_of(r)[1], 1.0),) for r in chosen})
    sizes = [sum(t.size for t in trees(chosen, f)) for f in (None, asked, facts)]
    assert sizes[0] == sizes[1] == sizes[2] - 8 * 4


def test_what_a_bonus_does_is_reported() -> None:
    """The push of online VPO is αβ on every sample above its bound, none below."""
    _, said, _ = gradient(dpo, partial(vpo, alpha=3.0, beta=0.5, bound=100.0))
    assert said["bonus_push"] == pytest.approx(1.5) and said["bonus_at_rest"] == 0
    _, said, _ = gradient(dpo, partial(vpo, alpha=3.0, beta=0.5, bound=1e-6))
    assert 0 < said["bonus_at_rest"] <= 1
    assert said["bonus_push"] == pytest.approx(1.5 * (1 - said["bonus_at_rest"]))


def test_weights_of_samples_count() -> None:
    """Half on each of two responses is the mean of their bonuses."""
    learner = Learner(policy(), dpo, SETTINGS, bonus=partial(plain_bonus))
    chosen = rows("dpo")[:1]
    a, b = responses_of(chosen[0])
    ref = reference(chosen)
    both = replace(ref, samples={name_of(chosen[0]): ((a, 0.5), (b, 0.5))})
    (tally,) = learner.steps(chosen, both, Plan(batches=((0,),)))
    with torch.no_grad():
        expected = policy().logps([a, b]).mean().item()
    assert tally.means()["bonus"] == pytest.approx(expected, rel=1e-5)


def plain_bonus(s: SampleLogps) -> Tensor:
    return s.y


def test_z0_of_kto_is_the_mean_over_mismatched_pairs_of_the_batch() -> None:
    chosen = [sampled(row) for row in rows("dpo")]
    facts, seen = facts_of(chosen), []

    def watched(y: PointLogps) -> Tensor:
        seen.append(y.mismatch)
        return kto(y)

    watched.__module__ = kto.__module__  # where its `needs` are read
    list(Learner(policy(), watched, SETTINGS).steps(chosen, facts, ALL))
    own = {r.id: r for row in chosen for r in responses_of(row)}
    asked = strangers(chosen)
    assert [r.id.split("~")[0] for r in asked] == list(own), "one for every response"
    for stranger in asked:
        first, other = (own[name] for name in stranger.id.split("~"))
        assert stranger.prompt == first.prompt != other.prompt
        assert stranger.tokens == other.tokens
    expected = [plainly(policy().model, r).item() - facts.ref[r.id] for r in asked]
    torch.testing.assert_close(seen[0], torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_a_response_without_its_reference_is_named() -> None:
    chosen = rows("dpo")
    facts = Facts(ref={k: v for k, v in reference(chosen).ref.items() if k not in ("3a", "4b")})
    with pytest.raises(ValueError, match=r"needs its ref, got none for '3a' and 0 others"):
        list(Learner(policy(), dpo, SETTINGS).steps(chosen, facts, ALL))


def test_one_prompt_has_no_mismatched_pair() -> None:
    chosen = rows("dpo")[:2]
    with pytest.raises(ValueError, match=r"needs another prompt in the batch, got 2 rows with 1"):
        strangers(chosen)


def test_a_pair_of_different_prompts_is_refused() -> None:
    one, other = (Prompt(text=t, tokens=(i,)) for i, t in enumerate("xy"))
    a, b = Response(prompt=one, text="a", id="a"), Response(prompt=other, text="b", id="b")
    row = Preference(query=Query(prompt=one, a=a, b=b, id="odd"), p=1.0)
    with pytest.raises(ValueError, match=r"'odd' answer different prompts"):
        trees([row])


def test_what_a_learner_asks_the_reference_for_is_what_its_steps_look_up() -> None:
    chosen = [sampled(row) for row in rows("dpo")]
    facts = facts_of(chosen)
    plan = Plan.of(range(8), changed(batch=4), 0, 1)
    for name, (loss, bonus) in CASES.items():
        learner = Learner(policy(), loss, SETTINGS, bonus)
        samples = facts.samples if bonus else {}
        asked = learner.asks(chosen, Facts(ref={}, samples=samples), plan)
        ref = {r.id: -3.0 for r in asked}
        list(learner.steps(chosen, replace(facts, ref=ref, samples=samples), plan)), name


@pytest.mark.parametrize("name", ["kto_pair", "sail", "kto"])
def test_the_loss_at_the_reference_is_that_of_a_first_step_there(name: str) -> None:
    loss, _ = CASES[name]
    chosen = [sampled(row) for row in rows("dpo")]
    everything: list[Row] = [*chosen, *strangers(chosen)]
    at_start = reference(everything, seed=0)
    learner = Learner(policy(), loss, SETTINGS)
    expected = learner.loss_at_reference(chosen, at_start)
    (tally,) = learner.steps(chosen, at_start, ALL)
    assert tally.means()["loss"] == pytest.approx(expected, abs=1e-4)
