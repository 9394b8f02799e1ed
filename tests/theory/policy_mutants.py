"""Wrong policy gradients, each with the claims that it must break."""

import torch
from mutants import Mutant
from torch import Tensor

from prefloop.learn import credit
from prefloop.losses.ppo import ppo
from prefloop.losses.reinforce import reinforce
from prefloop.losses.rloo import rloo
from prefloop.losses.sft import sft
from prefloop.theory import claims_policy, closed

right = {thing.__name__: thing for thing in (credit.gae, credit.kl_estimate, closed.best_of)}
"""the formulas as they are, for wrong ones made from them"""


def _own_reward_among_the_others(returns: Tensor, prompts: list[int]) -> Tensor:
    group = torch.tensor(prompts)
    same = (group[:, None] == group).to(returns)
    return returns - same @ returns / same.sum(1)


def _half_way(prior: Tensor, reward: Tensor, n: int) -> Tensor:
    return (right["best_of"](prior, reward, n) + prior.exp()) / 2


POLICY_MUTANTS = {
    "PPO with its sign flipped": Mutant(
        module=claims_policy,
        name="ppo",
        wrong=lambda y, **options: -ppo(y, **options),
        breaks=("with_the_true_critic_any_lambda_is_right",),
    ),
    "PPO whose critic does not learn": Mutant(
        module=claims_policy,
        name="ppo",
        wrong=lambda y, *, value_weight: ppo(y, value_weight=-value_weight),
        breaks=("ppo_ends_at_the_optimum",),
    ),
    "RLOO with its sign flipped": Mutant(
        module=claims_policy,
        name="rloo",
        wrong=lambda y: -rloo(y),
        breaks=("two_samples_a_prompt_are_enough", "what_came_before_a_token_is_not_its_merit"),
    ),
    "REINFORCE by the mean over a response": Mutant(
        module=claims_policy,
        name="reinforce",
        wrong=lambda y: reinforce(y) / y.summed(torch.ones_like(y.y)),
        breaks=("what_came_before_a_token_is_not_its_merit",),
    ),
    "no KL in the reward": Mutant(
        module=credit,
        name="kl_estimate",
        wrong=lambda log_ratio, kind: 0 * log_ratio,
        breaks=(
            "rloo_ends_at_the_optimum",
            "reinforce_ends_at_the_optimum",
            "k3_in_the_reward_takes_the_forward_kl_back",
        ),
    ),
    "k1 for every estimate": Mutant(
        module=credit,
        name="kl_estimate",
        wrong=lambda log_ratio, kind: right["kl_estimate"](log_ratio, "k1"),
        breaks=("k3_in_the_reward_takes_the_forward_kl_back",),
    ),
    "k3 in the reward": Mutant(
        module=credit,
        name="kl_estimate",
        wrong=lambda log_ratio, kind: right["kl_estimate"](log_ratio, "k3"),
        breaks=("ppo_ends_at_the_optimum",),
    ),
    "a baseline with the response itself": Mutant(
        module=credit,
        name="leave_one_out",
        wrong=_own_reward_among_the_others,
        breaks=("two_samples_a_prompt_are_enough",),
    ),
    "GAE with λ forgotten": Mutant(
        module=credit,
        name="gae",
        wrong=lambda rewards, values, gamma, lam: right["gae"](rewards, values, gamma, 1.0),
        breaks=("with_a_wrong_critic_only_lambda_one_is_right",),
    ),
    "GAE that does not look ahead": Mutant(
        module=credit,
        name="gae",
        wrong=lambda rewards, values, gamma, lam: (rewards - values, rewards),
        breaks=(
            "with_the_true_critic_any_lambda_is_right",
            "with_a_wrong_critic_only_lambda_one_is_right",
        ),
    ),
    "k2 for k3": Mutant(
        module=closed,
        name="kl_estimators",
        wrong=lambda ratio: {"k1": ratio, "k2": ratio**2 / 2, "k3": ratio**2 / 2},
        breaks=("the_ratio_makes_k3_the_reverse_kl",),
    ),
    "imitation that pushes away": Mutant(
        module=claims_policy,
        name="sft",
        wrong=lambda y: sft(y) ** 2,
        breaks=("imitating_the_best_of_n_gives_the_best_of_n",),
    ),
    "half of the best of n": Mutant(
        module=closed,
        name="best_of",
        wrong=_half_way,
        breaks=(
            "rounds_of_best_of_n_are_best_of_a_power",
            "raft_collapses_within_three_rounds",
            "going_on_goes_past_the_bound_that_restarting_keeps",
        ),
    ),
    "best of n times n": Mutant(
        module=closed,
        name="best_of",
        wrong=lambda prior, reward, n: right["best_of"](prior, reward, n * n),
        breaks=(
            "replaying_the_previous_law_only_delays_the_collapse",
            "going_on_goes_past_the_bound_that_restarting_keeps",
        ),
    ),
}
