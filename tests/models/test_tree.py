"""Trees compute what the plain loop computes."""

import pytest
import torch
from torch.nn.functional import logsigmoid

from models.families import CONTEXT, build, forest, gradient, one_by_one
from prefloop.models.load import checkpoint_gradients
from prefloop.models.padded import padded_logps
from prefloop.models.probe import prepare
from prefloop.models.tree import NAME, Tree, layout, plan, tree_logps

TREES = forest()


def nonlinear_loss(logps):
    """Weighs every response differently, so that a mix-up shows in the gradient."""
    weights = torch.linspace(-1, 1, len(logps))
    return -logsigmoid(0.1 * weights * logps).sum()


def loss_and_gradient(model, compute, trees=TREES):
    model.zero_grad()
    loss = nonlinear_loss(compute(model, trees))
    loss.backward()
    return loss.detach(), gradient(model)


@pytest.mark.parametrize("family", ["llama", "untied", "qwen2", "gpt2", "mistral"])
def test_trees_equal_the_plain_loop_in_loss_and_gradient(family):
    model = build(family)
    expected = loss_and_gradient(model, one_by_one)
    assert prepare(model.eval(), CONTEXT) is None
    found = loss_and_gradient(model, tree_logps)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "sliding", "gemma2", "mamba"])
def test_padded_rows_equal_the_plain_loop(family):
    model = build(family).eval()
    expected = loss_and_gradient(model, one_by_one)
    found = loss_and_gradient(model, padded_logps)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_bfloat16_trees_are_as_near_to_float32_as_the_plain_loop_in_bfloat16(family):
    model = build(family).eval()
    exact = loss_and_gradient(model, one_by_one)[1]

    def error(compute):
        with torch.autocast("cpu", torch.bfloat16):
            found = loss_and_gradient(model, compute)[1]
        return ((found - exact).norm() / exact.norm()).item()

    plain = error(one_by_one)
    prepare(model, CONTEXT)
    assert error(tree_logps) < min(1.5 * plain, 0.05)


@pytest.mark.parametrize("budget", [1, 30, 60, 10_000])
def test_any_token_budget_gives_the_same_gradient(budget):
    model = build("qwen2").eval()
    prepare(model, CONTEXT)
    starts = [0]
    for tree in TREES:
        starts.append(starts[-1] + len(tree.responses))
    whole = loss_and_gradient(model, tree_logps)[1]
    weights = torch.linspace(-1, 1, starts[-1])
    model.zero_grad()
    for batch in plan(TREES, budget):
        logps = tree_logps(model, [TREES[i] for i in batch])
        mine = torch.cat([weights[starts[i] : starts[i + 1]] for i in batch])
        (-logsigmoid(0.1 * mine * logps).sum()).backward()
    torch.testing.assert_close(gradient(model), whole, rtol=1e-5, atol=1e-5)


def test_gradient_checkpointing_changes_no_gradient():
    model = build("llama")
    prepare(model, CONTEXT)
    expected = loss_and_gradient(model.train(), tree_logps)
    forwards = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: forwards.append(1))
    checkpoint_gradients(model)
    torch.testing.assert_close(loss_and_gradient(model, tree_logps), expected)
    assert len(forwards) == 2


def test_a_response_never_sees_its_sibling_nor_another_tree():
    trees = [Tree((7, 8), ((9,), (10, 11))), Tree((5,), ((6,),))]
    sees = layout(trees, torch.device("cpu")).sees[:, 0]
    own = torch.tensor(
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]
    )
    torch.testing.assert_close(sees[0].int(), own.int())
    assert sees[1, 1].tolist() == [True, True, False, False, False]


def test_the_packed_row_has_no_padding_and_positions_restart_at_every_branch():
    where = layout([Tree((7, 8), ((9,), (10, 11))), Tree((5,), ((6,),))], torch.device("cpu"))
    assert where.tokens.tolist() == [[7, 8, 9, 10, 11, 5, 6]]
    assert where.positions.tolist() == [[0, 1, 2, 2, 3, 0, 1]]
    assert where.predictors.tolist() == [1, 1, 3, 5]
    assert where.targets.tolist() == [9, 10, 11, 6]
    assert where.owners.tolist() == [0, 1, 1, 2]


def test_a_plan_keeps_to_its_budget_and_holds_every_tree_once():
    trees = forest(seed=3, trees=40)
    batches = plan(trees, 80)
    assert sorted(i for batch in batches for i in batch) == list(range(40))
    assert all(sum(trees[i].tokens for i in b) <= 80 or len(b) == 1 for b in batches)
    assert batches == plan(trees, 80)


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("sliding", "attention window of 8 tokens is shorter than the context of 64"),
        ("gemma2", "changes its logits"),
        ("mamba", "attention cannot be replaced"),
    ],
)
def test_a_model_that_cannot_take_trees_says_why_and_stays_as_it_was(family, reason):
    model = build(family)
    before = model.config._attn_implementation
    assert reason in prepare(model, CONTEXT)
    assert model.config._attn_implementation == before


def test_a_model_whose_layers_do_something_else_is_found_out_by_its_numbers():
    model = build("llama")
    model.model.norm.register_forward_hook(
        lambda module, args, output: output + args[0].mean(1, keepdim=True)
    )
    assert "change its log-probabilities" in prepare(model, CONTEXT)
    assert model.config._attn_implementation != NAME
