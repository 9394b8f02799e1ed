"""What a run will take, as far as its settings say: rows to learn from, memory and disk."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefloop.config import Config, Phase, Training
from prefloop.models.load import Loaded
from prefloop.runs.data import Data
from prefloop.runs.wants import needs


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Of one round of a phase."""

    prompts: int
    drawn: int
    """responses"""
    asked: int
    """queries"""

    @classmethod
    def of(cls, phase: Phase, data: Data) -> "Amounts":
        sample = phase.config.sample
        ready = "dataset" in sample.sources
        pool = len(data.items if ready else data.prompts)
        prompts = min(pool, sample.prompts or pool)
        asked = min(prompts, phase.config.ask.labels or prompts) if phase.asks else 0
        drawn = 0 if ready else prompts * sum(sample.sources.values())
        return cls(prompts=prompts, drawn=drawn, asked=asked)


def rows(phases: Sequence[Phase], data: Data) -> int:
    """What a round of the last of these phases learns from: answers or responses.

    A reward model learns from the answers of the reward phases before it too, less what is held
    out.
    """
    phase = phases[-1]
    if phase.learns != "reward":
        found = Amounts.of(phase, data)
        return found.asked or found.drawn or found.prompts
    settings = phase.config.reward
    asking = [p for p in phases if p.learns == "reward"] if settings.data == "all" else [phase]
    answers = sum(Amounts.of(p, data).asked * p.rounds for p in asking)
    return round(answers * (1 - settings.holdout))


def steps(phases: Sequence[Phase], data: Data) -> int:
    """Optimizer steps of a round of the last of these phases."""
    learn = training(phases[-1])
    return -(-rows(phases, data) // learn.batch) * learn.epochs


def seen(phases: Sequence[Phase], data: Data) -> int:
    """Rows that its steps go over, and beside them the pairs of samples that views are of."""
    phase = phases[-1]
    has_views = phase.learns == "reward" and phase.config.reward.views is not None
    pairs = steps(phases, data) * phase.config.reward.views_batch if has_views else 0
    return rows(phases, data) * training(phase).epochs + pairs


def training(phase: Phase) -> Training:
    """The settings of what the phase trains."""
    return phase.config.reward if phase.learns == "reward" else phase.config.learn


def memory_gb(loaded: Loaded, phases: Sequence[Phase]) -> float:
    """Of the phase that takes most: every model's weights, gradients, moments, activations."""
    return max(_held(loaded, phases[: i + 1]) for i in range(len(phases))) / 1e9


def disk_gb(loaded: Loaded, config: Config) -> float:
    """Checkpoints, and two policies."""
    held, trained = _bytes(loaded)
    return (3 * trained * (config.checkpoint.keep + 2) + 2 * held) / 1e9


def _held(loaded: Loaded, phases: Sequence[Phase]) -> float:
    """Bytes in the last of these phases; a reward model is taken to be of the policy's size."""
    phase, config = phases[-1], phases[-1].config
    held, trained = _bytes(loaded)
    in_full = config.model.adapter == "none"
    reference = int(in_full and config.learn.resident)
    reward = int(any(p.learns == "reward" for p in phases))
    critic = int(_has_own_critic(phase))
    others = (reference + reward + critic) * (held if in_full else trained)
    learning = 3 * trained * (1 + critic)
    text = loaded.model.config.get_text_config()
    width: int = text.hidden_size * text.num_hidden_layers * 16
    kept = 0.2 if config.model.gradient_checkpointing else 1.0
    return held + others + learning + training(phase).tokens * width * kept * 2 * (1 + critic)


def _has_own_critic(phase: Phase) -> bool:
    has_values = phase.learns == "policy" and "value" in needs("losses", phase.config.learn.loss)
    return has_values and phase.config.credit.critic != "shared"


def _bytes(loaded: Loaded) -> tuple[int, int]:
    """Of all weights, and of those that are trained."""
    every = [(p.numel() * p.element_size(), p.requires_grad) for p in loaded.model.parameters()]
    return sum(size for size, _ in every), sum(size for size, trained in every if trained)
