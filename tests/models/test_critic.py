"""A critic on the policy's own states: what a policy and a critic apart would say, in one pass."""

import pytest
import torch

from models.families import forest, gradient, loaded, responses
from prefloop.models.critic import ValueHead
from prefloop.models.reward import RewardModel
from prefloop.models.transformer import TransformerPolicy

ASKED = responses(forest())[::-1]
FAMILIES = ("llama", "untied", "gpt2", "sliding", "gemma2")
CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def shared(policy, seed=1):
    """A value head that has learned something."""
    critic = ValueHead(policy)
    torch.nn.init.normal_(
        critic.model.weight, std=0.1, generator=torch.Generator().manual_seed(seed)
    )
    return critic


def apart(policy, critic):
    """The same head on a copy of the policy's trunk."""
    found = RewardModel.of(policy)
    found.head.weight.data.copy_(critic.model.weight)
    return found


def weighed(logps, values):
    """A sum that weighs every token, and its log-probability and value, differently."""
    spread = torch.linspace(-1, 1, len(logps))
    return (spread * logps).sum() + (spread.flip(0) * values).sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_says_what_policy_and_critic_apart_say(family, temperature):
    policy = TransformerPolicy(loaded(family), tokens=40)
    critic = shared(policy)
    found = critic.beside(policy, ASKED, temperature)
    expected = apart(policy, critic).beside(policy, ASKED, temperature)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert expected[1].abs().min() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_trunks_gradient_is_the_sum_of_both(family):
    policy = TransformerPolicy(loaded(family), tokens=40)
    critic = shared(policy)
    weighed(*critic.beside(policy, ASKED, 1.0)).backward()
    found, head = gradient(policy.model), critic.model.weight.grad

    policy.model.zero_grad()
    other = apart(policy, critic)
    weighed(*other.beside(policy, ASKED, 1.0)).backward()
    of_values = dict(other.model.base_model.named_parameters())
    for name, parameter in policy.model.base_model.named_parameters():
        parameter.grad = parameter.grad + of_values[name].grad
    torch.testing.assert_close(found, gradient(policy.model), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(head, other.head.weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "sliding"])
def test_it_takes_no_forward_pass_of_its_own(family):
    policy = TransformerPolicy(loaded(family), tokens=40)
    runs = []
    policy.model.base_model.register_forward_hook(lambda *run: runs.append(run))
    policy.token_logps(ASKED)
    alone = len(runs)
    assert alone > 1
    ValueHead(policy).beside(policy, ASKED, 1.0)
    assert len(runs) == 2 * alone


@pytest.mark.parametrize("family", ["llama", "sliding"])
def test_at_first_it_says_zero_and_moves_nothing_but_itself(family):
    policy = TransformerPolicy(loaded(family))
    critic = ValueHead(policy)
    logps, values = critic.beside(policy, ASKED, 1.0)
    assert (values == 0).all()
    weighed(logps, values).backward()
    found = gradient(policy.model)
    policy.model.zero_grad()
    logps = policy.token_logps(ASKED)
    weighed(logps, torch.zeros_like(logps)).backward()
    torch.testing.assert_close(found, gradient(policy.model), rtol=1e-6, atol=1e-6)
    assert critic.model.weight.grad.abs().max() > 0


def test_no_responses_have_no_values():
    policy = TransformerPolicy(loaded("llama"))
    assert [part.shape for part in ValueHead(policy).beside(policy, [], 1.0)] == [(0,), (0,)]
