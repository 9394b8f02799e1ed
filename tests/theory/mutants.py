"""Wrong formulas, each with the claims that it must break."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from prefloop.batches import ListScores
from prefloop.bonuses.copo import copo
from prefloop.bonuses.selm import selm
from prefloop.bonuses.vpo import vpo
from prefloop.bonuses.xpo import xpo
from prefloop.losses.cdpo import cdpo
from prefloop.losses.dpo import dpo
from prefloop.losses.margin_dpo import margin_dpo
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.reward.margin import margin
from prefloop.losses.reward.plackett_luce import plackett_luce
from prefloop.losses.reward.regression import regression
from prefloop.measure import best_of, overoptimization
from prefloop.theory import (
    claims_bonuses,
    claims_loop,
    claims_losses,
    claims_rewards,
    claims_sail,
    claims_widths,
    closed,
    comparisons,
    counts,
    enhancer,
    games,
    rewards,
    sail,
    value,
)
from prefloop.theory import overoptimization as hacking

right = {
    (module, name): getattr(module, name)
    for module, names in {
        comparisons: ("bradley_terry", "likelihood", "curvature", "covariance", "width", "bounds"),
        value: ("biased", "pseudo_wins"),
        games: ("nash", "mirror_step"),
        sail: ("parts", "surrogate"),
        enhancer: ("enhancer",),
        rewards: ("ranking_law", "flipped_gap"),
        hacking: ("accuracy", "noisy", "turning_point"),
        claims_sail: ("released",),
        claims_loop: ("_outcome", "_collected"),
    }.items()
    for name in names
}
"""the formulas as they are, for wrong ones made from them"""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A formula in place of another, and the names of the claims that cannot hold with it."""

    module: Any
    name: str
    wrong: Any
    breaks: tuple[str, ...]


def _limit_of_winners(wins: torch.Tensor, calibration: torch.Tensor) -> float:
    return float((wins.sum(1) / (1 - calibration)).min())


def _hard_label(logits: torch.Tensor, prior: torch.Tensor, beta: float) -> torch.Tensor:
    ratio = logits.log_softmax(-1) - prior
    return torch.sigmoid(50 * beta * (ratio[:, None] - ratio))


def _parts(*, one: float = 1.0, two: float = 1.0) -> Any:
    def wrong(*args: Any) -> tuple[torch.Tensor, ...]:
        t1, t2, t3 = right[sail, "parts"](*args)
        return one * t1, two * t2, t3

    return wrong


def _surrogate(own: bool) -> Any:
    return lambda *args, **options: right[sail, "surrogate"](*args, **{**options, "own": own})


def _without(module: Any, name: str, **fixed: Any) -> Any:
    return lambda *args, **options: right[module, name](*args, **{**options, **fixed})


def _exchanged(one: str, other: str) -> Any:
    """What one method did, reported as what the other did."""
    names = {one: other, other: one}
    return lambda name: right[claims_loop, "_outcome"](names.get(name, name))


def _pessimist_and_dpo_exchanged() -> Any:
    found = right[claims_loop, "_collected"]()
    return {
        beta: {claims_loop.PESSIMIST: gaps["DPO"], "DPO": gaps[claims_loop.PESSIMIST]}
        for beta, gaps in found.items()
    }


def _neighbours(y: ListScores) -> torch.Tensor:
    """Bradley–Terry on who stands next to whom: the sum a list, lists of four."""
    gap = -y.score.view(-1, 4).gather(1, y.rank.view(-1, 4).argsort(1)).diff(dim=1)
    return -torch.nn.functional.logsigmoid(gap).sum(1)


def _flipped(bonus: Any) -> Any:
    return lambda s, **options: -bonus(s, **options)


MUTANTS = {
    "the tilt with its sign flipped": Mutant(
        module=closed,
        name="tilt",
        wrong=lambda prior, reward, beta: (prior - reward / beta).log_softmax(-1),
        breaks=("the_tilt_is_the_best_policy", "dpo_on_all_pairs_gives_the_rlhf_optimum"),
    ),
    "the tilt by β r": Mutant(
        module=closed,
        name="tilt",
        wrong=lambda prior, reward, beta: (prior + reward * beta).log_softmax(-1),
        breaks=("its_value_is_beta_log_z", "the_whole_gap_is_one_kl"),
    ),
    "the other KL": Mutant(
        module=closed,
        name="kl",
        wrong=lambda p, q: (q.exp() * (q - p)).sum(-1),
        breaks=("the_whole_gap_is_one_kl", "as_a_loss_k3_is_the_forward_kl"),
    ),
    "acceptance by the mean ratio": Mutant(
        module=closed,
        name="accepted",
        wrong=lambda p, q: torch.exp(-(q.exp() * (q - p)).sum(-1)),
        breaks=("rejection_in_steps_accepts_as_rarely_as_at_once",),
    ),
    "smoothing the other way": Mutant(
        module=claims_losses,
        name="cdpo",
        wrong=lambda y, *, beta, label_smoothing: cdpo(
            y, beta=beta, label_smoothing=label_smoothing / 2
        ),
        breaks=("smoothed_labels_leave_dpo_finite",),
    ),
    "cDPO in place of robust DPO": Mutant(
        module=claims_losses,
        name="robust",
        wrong=cdpo,
        breaks=("the_robust_loss_undoes_flips_on_average",),
    ),
    "k1 and k3 exchanged": Mutant(
        module=closed,
        name="kl_estimators",
        wrong=lambda r: {"k1": torch.expm1(-r) + r, "k2": r**2 / 2, "k3": r},
        breaks=("as_a_loss_k1_does_nothing", "k3_does_not_always_vary_less_than_k1"),
    ),
    "the best taken for the worst": Mutant(
        module=closed,
        name="worst_of",
        wrong=closed.best_of,
        breaks=("best_and_worst_of_n_have_these_laws",),
    ),
    "wins counted for the loser": Mutant(
        module=comparisons,
        name="likelihood",
        wrong=lambda wins, **options: right[comparisons, "likelihood"](wins.mT, **options),
        breaks=(
            "at_the_fit_expected_wins_are_the_wins",
            "newton_finds_what_minorise_maximise_finds",
            "without_a_bonus_vpo_is_dpo",
            "the_bonus_adds_pseudo_wins",
        ),
    ),
    "a ridge forgotten": Mutant(
        module=comparisons,
        name="likelihood",
        wrong=_without(comparisons, "likelihood", ridge=0.0),
        breaks=("a_ridge_bounds_optimism",),
    ),
    "widths that do not subtract the centre": Mutant(
        module=comparisons,
        name="width",
        wrong=lambda phi, centre, cov: ((phi @ torch.linalg.inv(cov)) * phi).sum(-1).sqrt(),
        breaks=("only_differences_of_features_are_identified",),
    ),
    "widths without the root": Mutant(
        module=comparisons,
        name="width",
        wrong=lambda *args: right[comparisons, "width"](*args) ** 2,
        breaks=("coverage_falls_like_one_over_root_n", "a_confidence_width_is_a_count"),
    ),
    "widths with a root too many": Mutant(
        module=comparisons,
        name="width",
        wrong=lambda *args: right[comparisons, "width"](*args).sqrt(),
        breaks=("widths_met_in_turn_add_up_to_a_logarithm",),
    ),
    "the ridge squared": Mutant(
        module=comparisons,
        name="covariance",
        wrong=lambda rows, *, ridge=1.0, batch=1: right[comparisons, "covariance"](
            rows, ridge=(1.5 * ridge) ** 2, batch=batch
        ),
        breaks=(
            "a_direction_never_compared_keeps_its_full_width",
            "ridge_coins_take_the_unseen_for_known",
        ),
    ),
    "m answers counted as m": Mutant(
        module=comparisons,
        name="covariance",
        wrong=_without(comparisons, "covariance", batch=1),
        breaks=("m_answers_a_round_count_as_one_in_the_online_covariance",),
    ),
    "pessimism by a tenth of the width": Mutant(
        module=comparisons,
        name="width",
        wrong=lambda *args: right[comparisons, "width"](*args) / 10,
        breaks=("pessimism_pays_only_where_the_comparator_is_uncertain",),
    ),
    "a confidence radius without 1/γ": Mutant(
        module=claims_widths,
        name="confidence",
        wrong=lambda dimension, delta: 0.5 * dimension**0.5 + 1,
        breaks=("the_truth_lies_in_the_confidence_ellipsoid",),
    ),
    "a curvature without σσ̄": Mutant(
        module=comparisons,
        name="curvature",
        wrong=lambda *args, **options: 4 * right[comparisons, "curvature"](*args, **options),
        breaks=("the_laplace_posterior_covers_as_often_as_it_says",),
    ),
    "an enhancer that stops halfway": Mutant(
        module=enhancer,
        name="enhancer",
        wrong=lambda first, *args, **options: (
            (first + right[enhancer, "enhancer"](first, *args, **options)) / 2
        ).log_softmax(-1),
        breaks=(
            "the_enhancer_spends_all_its_kl",
            "no_allowed_policy_is_less_comparable_than_the_enhancer",
        ),
    ),
    "a limit from single responses": Mutant(
        module=comparisons,
        name="optimism_limit",
        wrong=lambda wins, cal: float((wins.sum(0) / (1 - cal)).min()),
        breaks=("single_responses_do_not_tell_the_limit",),
    ),
    "a limit from wins": Mutant(
        module=comparisons,
        name="optimism_limit",
        wrong=_limit_of_winners,
        breaks=(
            "optimism_has_a_minimum_only_below_its_limit",
            "a_response_that_never_lost_forbids_optimism",
        ),
    ),
    "pessimism for optimism": Mutant(
        module=value,
        name="biased",
        wrong=lambda *args, beta, bonus: right[value, "biased"](*args, beta=beta, bonus=-bonus),
        breaks=(
            "offline_vpo_on_rewards_is_vpo_on_policies",
            "the_bonus_adds_pseudo_wins",
            "pessimism_without_end_gives_the_calibration_law",
            "offline_vpo_has_one_minimum_whatever_was_compared",
            "optimism_pushes_down_an_unseen_response_below_the_soft_average",
            "a_linear_value_grows_towards_what_the_optimum_has_more_of",
            "the_bonus_on_samples_is_the_value",
        ),
    ),
    "pseudo-wins taken away": Mutant(
        module=value,
        name="pseudo_wins",
        wrong=lambda *args, beta, bonus: right[value, "pseudo_wins"](
            *args, beta=beta, bonus=-bonus
        ),
        breaks=("the_bonus_adds_pseudo_wins",),
    ),
    "VPO with its sign flipped": Mutant(
        module=claims_bonuses,
        name="vpo",
        wrong=_flipped(vpo),
        breaks=(
            "the_bonus_on_samples_is_the_value",
            "selm_and_xpo_are_online_vpo_about_the_reference",
        ),
    ),
    "SELM with its sign flipped": Mutant(
        module=claims_bonuses,
        name="selm",
        wrong=_flipped(selm),
        breaks=(
            "selm_and_xpo_are_online_vpo_about_the_reference",
            "copo_and_xpo_push_their_sample_opposite_ways",
        ),
    ),
    "XPO with its sign flipped": Mutant(
        module=claims_bonuses,
        name="xpo",
        wrong=_flipped(xpo),
        breaks=(
            "selm_and_xpo_are_online_vpo_about_the_reference",
            "at_the_reference_an_optimistic_bonus_does_not_push",
            "copo_and_xpo_push_their_sample_opposite_ways",
        ),
    ),
    "COPO with its sign flipped": Mutant(
        module=claims_bonuses,
        name="copo",
        wrong=_flipped(copo),
        breaks=(
            "copo_climbs_the_mean_bonus",
            "copo_raises_what_is_rarer_than_average",
            "a_greedy_sample_defeats_copo",
            "copo_and_xpo_push_their_sample_opposite_ways",
        ),
    ),
    "COPO without its clip": Mutant(
        module=claims_bonuses,
        name="copo",
        wrong=lambda s, *, alpha, clip: copo(s, alpha=alpha, clip=1e9),
        breaks=("a_tight_clip_can_turn_a_push_round",),
    ),
    "COPO without the ratio": Mutant(
        module=claims_bonuses,
        name="copo",
        wrong=lambda s, *, alpha, clip: -alpha * s.novelty * s.y,
        breaks=("copo_climbs_the_mean_bonus",),
    ),
    "a count with its ridge outside the root": Mutant(
        module=counts,
        name="bonus",
        wrong=lambda visits, *, ridge=1.0: 1 / (visits.sqrt() + ridge),
        breaks=("a_confidence_width_is_a_count",),
    ),
    "a bonus slope without its mean": Mutant(
        module=counts,
        name="bonus_slope",
        wrong=lambda policy, each: policy.exp() * each,
        breaks=("copo_climbs_the_mean_bonus",),
    ),
    "coins read like a width": Mutant(
        module=counts,
        name="ridge_coin_square",
        wrong=lambda phi, query, ridge: (
            query @ torch.linalg.solve(phi.T @ phi + ridge * torch.eye(len(query)).double(), query)
        ),
        breaks=("ridge_coins_read_this_on_average", "ridge_coins_take_the_unseen_for_known"),
    ),
    "coins that vary too little": Mutant(
        module=counts,
        name="coin_variance",
        wrong=lambda visits, coins=1: (1 / visits**2 - 1 / visits**3) / coins,
        breaks=("coins_count_without_bias", "more_coins_vary_less"),
    ),
    "no part through who is sampled": Mutant(
        module=sail,
        name="parts",
        wrong=_parts(one=0.0),
        breaks=(
            "the_gradient_has_a_part_through_who_is_sampled",
            "the_sampling_part_is_a_score_weighted_fit",
            "own_labels_make_it_surer_and_nothing_else",
            "a_leave_one_out_baseline_leaves_the_sampling_part_alone",
            "a_baseline_with_the_sample_itself_shrinks_the_sampling_part",
        ),
    ),
    "labels that are sure": Mutant(
        module=sail,
        name="own_label",
        wrong=_hard_label,
        breaks=(
            "under_its_own_labels_the_dpo_part_is_zero",
            "labelling_offline_pairs_oneself_lowers_their_entropy",
        ),
    ),
    "a baseline with the sample itself": Mutant(
        module=sail,
        name="surrogate",
        wrong=_surrogate(own=True),
        breaks=("a_leave_one_out_baseline_leaves_the_sampling_part_alone",),
    ),
    "a baseline without the sample itself": Mutant(
        module=sail,
        name="surrogate",
        wrong=_surrogate(own=False),
        breaks=("a_baseline_with_the_sample_itself_shrinks_the_sampling_part",),
    ),
    "the hook with the right sign": Mutant(
        module=claims_sail,
        name="released",
        wrong=lambda *args: -right[claims_sail, "released"](*args),
        breaks=("the_released_hook_points_the_other_way",),
    ),
    "margins with the other sign": Mutant(
        module=claims_losses,
        name="margin_dpo",
        wrong=lambda y, *, beta: margin_dpo(y, beta=beta, scale=-1.0),
        breaks=("a_margin_of_widths_subtracts_them_from_the_reward",),
    ),
    "DPO with β forgotten": Mutant(
        module=claims_rewards,
        name="dpo",
        wrong=lambda y, *, beta: dpo(y, beta=1.0),
        breaks=("dpo_is_a_reward_model_up_to_a_level",),
    ),
    "the worst of a ranking chosen first": Mutant(
        module=rewards,
        name="ranking_law",
        wrong=lambda reward: right[rewards, "ranking_law"](-reward),
        breaks=(
            "pairs_of_a_plackett_luce_ranking_are_bradley_terry",
            "rankings_determine_the_reward",
            "so_do_all_pairs_of_a_ranking",
        ),
    ),
    "a ranking's winner alone": Mutant(
        module=claims_rewards,
        name="plackett_luce",
        wrong=lambda y: plackett_luce(replace(y, rank=1 + (y.rank > 1).to(y.rank))),
        breaks=("rankings_determine_the_reward",),
    ),
    "pairs of neighbours alone": Mutant(
        module=claims_rewards,
        name="kwise",
        wrong=_neighbours,
        breaks=("so_do_all_pairs_of_a_ranking",),
    ),
    "half as many flips": Mutant(
        module=rewards,
        name="flipped_gap",
        wrong=lambda gap, rate: right[rewards, "flipped_gap"](gap, rate / 2),
        breaks=("flipped_labels_shrink_every_gap_below_a_bound",),
    ),
    "a margin given instead of demanded": Mutant(
        module=claims_rewards,
        name="margin",
        wrong=lambda y: margin(y, scale=-1.0),
        breaks=("a_margin_widens_what_is_unequal",),
    ),
    "strengths that have no say": Mutant(
        module=claims_rewards,
        name="scaled",
        wrong=bradley_terry,
        breaks=("strengths_count_answers",),
    ),
    "missing ratings taken for zero": Mutant(
        module=claims_rewards,
        name="regression",
        wrong=lambda y, **options: regression(replace(y, target=y.target.nan_to_num()), **options),
        breaks=("missing_ratings_do_not_move_the_mean",),
    ),
    "a best response to minus the payoff": Mutant(
        module=games,
        name="nash",
        wrong=lambda prior, payoff, beta: right[games, "nash"](prior, -payoff, beta),
        breaks=(
            "the_nash_point_answers_itself",
            "with_reward_differences_nash_is_the_rlhf_optimum",
        ),
    ),
    "a mirror step from the reference alone": Mutant(
        module=games,
        name="mirror_step",
        wrong=lambda policy, prior, payoff, eta, tau=0.0: right[games, "mirror_step"](
            policy, prior, payoff, eta, eta
        ),
        breaks=("inpo_takes_a_mirror_step", "mirror_steps_rest_at_nash"),
    ),
    "a mirror step downhill": Mutant(
        module=games,
        name="mirror_step",
        wrong=lambda policy, prior, payoff, eta, tau=0.0: right[games, "mirror_step"](
            policy, prior, -payoff, eta, tau
        ),
        breaks=(
            "inpo_takes_a_mirror_step",
            "sppo_takes_a_mirror_step_only_if_the_step_is_small",
        ),
    ),
    "hacks that are noise": Mutant(
        module=hacking,
        name="noisy",
        wrong=lambda hacks=0: right[hacking, "noisy"](hacks=0),
        breaks=(
            "one_percent_of_hacks_turns_it_over",
            "accuracy_on_own_pairs_foretells_it",
            "best_of_n_gets_farther_before_it_turns",
        ),
    ),
    "noise that is hacks": Mutant(
        module=hacking,
        name="noisy",
        wrong=lambda hacks=0: right[hacking, "noisy"](hacks=10),
        breaks=(
            "an_independent_error_never_turns_gold_over",
            "accuracy_alone_does_not_mean_gold_is_falling",
        ),
    ),
    "pairs of a response with itself compared": Mutant(
        module=hacking,
        name="accuracy",
        wrong=lambda policy, proxy, gold: (
            right[hacking, "accuracy"](policy, proxy, gold) * (1 - (2 * policy).exp().sum().item())
        ),
        breaks=(
            "an_independent_error_never_turns_gold_over",
            "accuracy_on_own_pairs_foretells_it",
        ),
    ),
    "a turn where the slope is largest": Mutant(
        module=hacking,
        name="turning_point",
        wrong=lambda world: 2 * right[hacking, "turning_point"](world),
        breaks=("a_rare_favourite_of_the_proxy_turns_gold_over_early",),
    ),
    "a slope without the mean taken off": Mutant(
        module=hacking.Hackable,
        name="slope",
        wrong=lambda world, at: float(
            (world.prior + at * world.proxy).softmax(-1) @ (world.gold * world.proxy)
        ),
        breaks=(
            "gold_rises_by_its_covariance_with_the_proxy",
            "a_rare_favourite_of_the_proxy_turns_gold_over_early",
        ),
    ),
    "all of the error believed": Mutant(
        module=overoptimization,
        name="regressional",
        wrong=lambda proxy, **variances: proxy,
        breaks=("an_independent_normal_error_takes_its_share_at_every_n",),
    ),
    "the mean over samples instead of choices": Mutant(
        module=best_of,
        name="mean",
        wrong=lambda values, scores, n: float(values[scores.argmax()]),
        breaks=("every_sample_can_serve_every_n",),
    ),
    "π × π named double Thompson": Mutant(
        module=claims_loop,
        name="_outcome",
        wrong=_exchanged("π × π", "double_thompson"),
        breaks=(
            "on_policy_pairs_run_out_of_questions",
            "a_reference_side_keeps_learning_alive",
            "asking_about_what_may_be_best_ends_lower_still",
        ),
    ),
    "double Thompson named a bonus": Mutant(
        module=claims_loop,
        name="_outcome",
        wrong=_exchanged("π × π + vpo .95", "double_thompson"),
        breaks=("hoping_for_a_high_value_does_not_replace_asking",),
    ),
    "pessimism named DPO": Mutant(
        module=claims_loop,
        name="_collected",
        wrong=_pessimist_and_dpo_exchanged,
        breaks=(
            "pessimism_helps_when_answers_are_few",
            "pessimism_never_hurts_and_matters_less_with_more_answers",
        ),
    ),
}
