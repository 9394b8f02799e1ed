"""Peak resident memory of PPO rounds: every model in full, or adapters on one backbone.

Each in a process of its own, which scores its responses, asks the reference and the critic, and
takes the steps; nothing is generated. Run by `rl.py`, or by itself:

    .venv/bin/python benchmarks/memory.py shared FOLDER
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
from rounds import BETA, Samples, World, gradient_round, random, settings_of

from prefloop.config import Credit, Model
from prefloop.learn.learner import Learner
from prefloop.losses.ppo import ppo
from prefloop.models.critic import ValueHead
from prefloop.models.load import load
from prefloop.models.references import adapters_off, resident
from prefloop.models.reward import RewardModel
from prefloop.models.transformer import TransformerPolicy

KINDS = {
    "separate": ("none", lambda policy, reward: reward.critic()),
    "critic on the policy": ("none", lambda policy, reward: ValueHead(policy)),
    "shared": ("lora", lambda policy, reward: reward.critic()),
}
"""where policy, reference, reward model and critic live → `model.adapter`, and the critic"""


ALLOCATORS: dict[str, dict[str, str]] = {
    "default": {},
    "large blocks given back": {"MALLOC_MMAP_THRESHOLD_": "131072"},
}
"""glibc raises that threshold by itself, up to 32 MiB, and its heap then goes to pieces"""


def measured(kind: str, allocator: str, folder: Path) -> tuple[float, float]:
    """MiB of a process of its own, before its models are loaded and at its peak."""
    command = [sys.executable, __file__, kind, str(folder)]
    world = os.environ | ALLOCATORS[allocator]
    said = subprocess.run(command, env=world, check=True, capture_output=True, text=True)
    before, most = map(float, said.stdout.split()[-2:])
    return before, most


def ppo_world(kind: str, samples: Samples, tokens: int = 1024) -> World:
    """PPO with a reward model, in full or on one backbone with the others.

    The critic begins as the reward model, or is a head on the policy's own states.
    """
    adapter, critic = KINDS[kind]
    model = Model(path=str(samples.folder), device="cpu", adapter=adapter)
    policy = TransformerPolicy(load(model), tokens=tokens)
    reference = adapters_off if kind == "shared" else resident(policy)
    reward = RewardModel.of(policy)
    settings = settings_of(len(samples.responses) // 2, 1).model_copy(update={"tokens": tokens})
    learner = Learner(policy, ppo, settings, critic=critic(policy, reward))
    credit = Credit(beta=BETA)
    return World(learner=learner, reference=reference, scores=reward.score, credit=credit)


def peak() -> float:
    """MiB, of this process since it was started.

    Not `getrusage`'s: that one begins, on Linux, at what the process was forked from.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Print what the process holds before and at its peak."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path, help="where the 31 M model is, or is put")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    samples = random("31M", asked.folder, 4, 4)
    before = peak()
    gradient_round(ppo_world(asked.kind, samples), samples)()
    print(f"{before:.1f} {peak():.1f}")


if __name__ == "__main__":
    main()
