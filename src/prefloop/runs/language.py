"""Where a reward model keeps its language: the policy's vocabulary head, if it fits."""

from prefloop.config import ConfigError
from prefloop.learn.language import Language
from prefloop.models.reward import RewardModel, width_of
from prefloop.models.vocabulary import Vocabulary
from prefloop.runs.session import Session


def language(session: Session, round: int, model: RewardModel) -> Language | None:
    """The term of a reward round: π₀'s head on the reward model's trunk."""
    settings = session.phase(round).config.reward
    if not settings.language:
        return None
    if model.reader is not None:
        raise ConfigError(
            f"reward.language needs a reward model in the policy's tokens, and {settings.path!r} "
            "has others; set reward.language to 0, or reward.path to a backbone of its kind"
        )
    with session.origin(round).opened() as policy:
        vocabulary = Vocabulary.of(policy.model)
    _check_width(vocabulary.width, model.head.in_features, settings.path)
    return Language(model=model, vocabulary=vocabulary, weight=settings.language)


def check_language(session: Session) -> None:
    """ConfigError, before anything is asked, where a phase's reward model cannot have the term."""
    for phase in session.phases:
        settings = phase.config.reward
        if phase.learns != "reward" or not settings.language:
            continue
        vocabulary = Vocabulary.of(session.policy.model)
        if settings.path is not None:
            width = width_of(settings.path, session.config.model)
            _check_width(vocabulary.width, width, settings.path)


def _check_width(head: int, trunk: int, path: str | None) -> None:
    if head != trunk:
        raise ConfigError(
            f"reward.language puts the policy's vocabulary head, {head} wide, on the trunk of "
            f"{path!r}, which is {trunk} wide; set reward.language to 0, or reward.path to a "
            "backbone of the policy's kind"
        )
