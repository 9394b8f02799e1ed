"""Codes and critic of two views: widths, draws, every pair, and ranks that share negatives."""

import os
import socket
from unittest.mock import patch

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.functional import softplus

from prefloop.losses.views.bottleneck import bottleneck
from prefloop.models.views import Critic, ViewEncoder


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def states(views=6, width=5, seed=0):
    g = generator(seed)
    return torch.randn(views, width, generator=g), torch.randn(views, width, generator=g)


class TestWidths:
    def test_small_states_get_a_small_encoder(self):
        encoder = ViewEncoder(5)
        assert [p.shape for p in encoder.mean.parameters() if p.ndim == 2] == [
            (20, 5),
            (20, 20),
            (5, 20),
        ]
        assert encoder.critic.first.weight.shape == (20, 5)

    def test_large_states_get_the_published_one(self):
        encoder = ViewEncoder(512)
        assert [p.shape for p in encoder.spread.parameters() if p.ndim == 2] == [
            (1024, 512),
            (1024, 1024),
            (256, 1024),
        ]

    def test_what_is_set_is_used(self):
        encoder = ViewEncoder(5, code=3, hidden=7, critic_hidden=11)
        assert encoder.mean[0].weight.shape == (7, 5)
        assert encoder.critic.first.weight.shape == (11, 3)
        assert encoder(*states(), generator()).mean_1.shape == (6, 3)


class TestCodes:
    def test_weights_follow_the_seed_and_leave_the_ambient_one_alone(self):
        before = torch.get_rng_state()
        one, same, other = (ViewEncoder(5, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(one.mean[0].weight, same.mean[0].weight)
        assert not torch.equal(one.mean[0].weight, other.mean[0].weight)

    def test_standard_deviations_are_softplus_and_a_little(self, float64):
        encoder, (one, _) = ViewEncoder(5), states()
        mean, std = encoder.posterior(one)
        torch.testing.assert_close(mean, encoder.mean(one))
        torch.testing.assert_close(std, softplus(encoder.spread(one)) + 1e-7)
        with torch.no_grad():
            encoder.spread[-1].bias -= 1e4
        assert (encoder.posterior(one)[1] == 1e-7).all()

    def test_a_draw_follows_its_generator_alone(self):
        encoder, both = ViewEncoder(5), states()
        one, same, other = (encoder(*both, generator(seed)) for seed in (3, 3, 4))
        assert torch.equal(one.score, same.score)
        assert not torch.equal(one.score, other.score)
        assert torch.equal(one.mean_1, other.mean_1)

    def test_draws_are_from_the_codes(self, float64):
        """As a critic sees them: many draws of one state's code."""
        encoder, seen = ViewEncoder(2, code=1, hidden=4), []
        encoder.critic.forward = lambda first, second: seen.extend((first, second)) or first
        with torch.no_grad():
            y = encoder(torch.ones(20_000, 2), 2 * torch.ones(20_000, 2), generator())
        first, second = (seen[0] - y.mean_1) / y.std_1, (seen[1] - y.mean_2) / y.std_2
        for noise in (first, second):
            assert abs(noise.mean()) < 4 / 20_000**0.5
            assert noise.std().item() == pytest.approx(1, abs=0.02)
        assert abs((first * second).mean()) < 4 / 20_000**0.5, "the views' noises are two"

    def test_everything_is_trained(self):
        encoder = ViewEncoder(5)
        one, two = (s.requires_grad_() for s in states())
        bottleneck(encoder(one, two, generator())).mean().backward()
        trained = {name: p.grad for name, p in encoder.named_parameters()} | {"1": one.grad}
        trained["2"] = two.grad
        still = {name for name, slope in trained.items() if slope is None or not slope.any()}
        assert not still, "a constant on every score moves Î, so not even the last bias rests"


class TestCritic:
    def test_every_pair_is_scored_as_both_codes_side_by_side_would_be(self, float64):
        critic, (first, second) = Critic(5, 7), states(4)
        weight = torch.cat([critic.first.weight, critic.second.weight], dim=1)
        scores = critic(first, second[:3])
        assert scores.shape == (4, 3)
        for i in range(4):
            for j in range(3):
                pair = torch.cat([first[i], second[j]])
                expected = critic.rest(weight @ pair + critic.first.bias)
                torch.testing.assert_close(scores[i, j], expected[0])


def rank_of_two(rank, port, folder):
    """What one of two processes, with half of the views each, computes."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    encoder, (one, two) = ViewEncoder(5), states()
    mine = slice(3 * rank, 3 * rank + 3)
    y = encoder(one[mine], two[mine], generator(rank))
    losses = bottleneck(y)
    losses.mean().backward()
    slopes = {name: p.grad for name, p in encoder.named_parameters()}
    for slope in slopes.values():
        distributed.all_reduce(slope)
        slope /= 2
    torch.save((losses.detach(), y.own, slopes), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_two_processes_are_one(float64, tmp_path):
    """Losses of every view, and gradients averaged over ranks, are those of the whole batch."""
    multiprocessing.spawn(rank_of_two, (free_port(), tmp_path), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    encoder, both = ViewEncoder(5), states()
    y = whole(encoder, *both)
    losses = bottleneck(y)
    losses.mean().backward()
    torch.testing.assert_close(torch.cat([found[0] for found in ranks]), losses.detach())
    assert torch.cat([found[1] for found in ranks]).tolist() == list(range(6))
    for name, parameter in encoder.named_parameters():
        for _, _, slopes in ranks:
            torch.testing.assert_close(slopes[name], parameter.grad)


def whole(encoder, one, two):
    """The whole batch in one process, with the noise that either rank had."""
    noises = [[torch.randn(3, 5, generator=g) for _ in range(2)] for g in map(generator, range(2))]
    drawn = iter(torch.cat(parts) for parts in zip(*noises, strict=True))
    with patch("prefloop.models.views._noise", lambda like, generator: next(drawn)):
        return encoder(one, two, generator())
