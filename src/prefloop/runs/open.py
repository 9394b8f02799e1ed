"""Open a run: its folder, its ledger, its models and its data, as one session."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefloop import plugins
from prefloop.config import Config, ConfigError, Phase
from prefloop.engine.single import settle_threads
from prefloop.models.load import Loaded, load_weights, weights
from prefloop.models.load import load as load_model
from prefloop.models.references import Reference, Stored, adapters_off, resident
from prefloop.models.states import last_states
from prefloop.models.transformer import TransformerPolicy
from prefloop.rng import key
from prefloop.runs import data
from prefloop.runs.checkpoints import Checkpoints, size_gb
from prefloop.runs.data import Given
from prefloop.runs.folder import FolderError, RunFolder, log, refuse_changes, versions
from prefloop.runs.knowledge import Knowledge
from prefloop.runs.language import check_language
from prefloop.runs.require import require
from prefloop.runs.reward import restore as restore_reward
from prefloop.runs.session import Session
from prefloop.runs.start import check_start
from prefloop.runs.unread import unread
from prefloop.runs.wants import features_part, wants
from prefloop.runs.watch import Logged, Stop, Watch
from prefloop.store.ledger import Ledger
from prefloop.store.text import Encoder
from prefloop.types import Response


def phases_of(config: Config) -> list[Phase]:
    """What the recipe makes of the config: its phases, each with every setting resolved."""
    try:
        recipe = plugins.find("recipes", config.recipe)
    except LookupError as error:
        raise ConfigError(str(error)) from None
    phases: list[Phase] = recipe(config)
    return phases


@contextmanager
def opened(
    config: Config,
    out: Path,
    *,
    watch: Watch,
    stop: Stop,
    given: Given,
    parts: Mapping[str, Any],
) -> Iterator[Session]:
    """A session on the run folder, held until the block ends."""
    phases = phases_of(config)
    require(phases, given, parts)
    folder = RunFolder(out)
    folder.hold()
    try:
        _check_disk(folder, config)
        ledger = Ledger.create(folder.ledger)
        try:
            if ledger.finished(0, "start") is not None:
                folder.refuse_changes(phases[-1].config)
                _refuse_changed_phases(phases, folder, ledger)
                _refuse_fewer_rounds(phases, ledger)
                _refuse_moved_phases(phases, ledger)
            log.info("versions: %s", versions())
            told = Logged(watch)
            for line in unread(config, phases):
                told.note(line)
            yield _session(phases, folder, ledger, told, stop, given, parts)
        finally:
            ledger.close()
    finally:
        folder.release()


def _session(
    phases: Sequence[Phase],
    folder: RunFolder,
    ledger: Ledger,
    watch: Watch,
    stop: Stop,
    given: Given,
    parts: Mapping[str, Any],
) -> Session:
    config = phases[-1].config
    settle_threads(config.model.threads)
    torch.manual_seed(key(config.seed, "adapters"))
    loaded = load_model(config.model)
    encoder = Encoder(
        loaded.tokenizer,
        context=min(loaded.context, config.model.max_tokens or loaded.context),
        template=config.model.template,
        overflow=config.data.overflow,
    )
    let_stop(loaded, encoder)
    found = data.load(config, encoder, given)
    policy = TransformerPolicy(
        loaded, precision=config.sample.precision, tokens=config.learn.tokens
    )
    policy.on_tokens = lambda tokens: watch.advance(0, tokens)
    returns = any("pi0" in (phase.config.learn.init_from, phase.begins) for phase in phases)
    session = Session(
        config=config,
        phases=phases,
        folder=folder,
        ledger=ledger,
        checkpoints=Checkpoints(folder.checkpoints, config.checkpoint),
        data=found,
        policy=policy,
        initial=_initial(policy, resident_copy=config.learn.resident),
        start=weights(loaded.model) if returns else {},
        encoder=encoder,
        watch=watch,
        stop=stop,
        given={name: part for name, part in parts.items() if part is not None},
    )
    session.knowledge = _knowledge(session)
    check_language(session)
    folder.describe(config)
    check_start(session)
    _introduce(session)
    _restore(session)
    return session


def _knowledge(session: Session) -> Knowledge | None:
    """What exploration learns, where a phase asks for it."""
    wanted = {need for phase in session.phases for need in wants(phase.config)}
    if not wanted:
        return None
    config = session.config
    states = partial(_hidden_states, session)
    encoder = session.part("features", "features", features_part(config), states=lambda: states)
    novelty = config.explore.novelty
    return Knowledge(
        encoder,
        session.part("novelty", "novelty", novelty) if novelty else None,
        lambda round: session.ledger.responses(round, "train"),
        wanted=wanted,
        settings=config.explore,
        seed=config.seed,
    )


def _hidden_states(session: Session, responses: Sequence[Response]) -> np.ndarray:
    """The reference's last hidden state of each response."""
    with session.initial(session.policy) as policy:
        found: np.ndarray = last_states(policy, responses)
        return found


def let_stop(loaded: Loaded, encoder: Encoder) -> None:
    """Let the sampler end where the data's responses end: at the template's end of turn too."""
    settings = loaded.model.generation_config
    named = settings.eos_token_id if isinstance(settings.eos_token_id, list) else []
    settings.eos_token_id = sorted({*named, *encoder.ends})


def _initial(policy: TransformerPolicy, *, resident_copy: bool) -> Reference:
    """π₀: the model under its adapters, a second model in memory, or weights swapped in."""
    if hasattr(policy.model, "peft_config"):
        return adapters_off
    return resident(policy) if resident_copy else Stored(weights(policy.model))


def _introduce(session: Session) -> None:
    """Say what was read, and show the first example as the model will see it."""
    counts, found = session.data.counts, session.data
    read = f"{len(found.prompts)} prompts, {len(found.items)} ready-made rows"
    lost = ", ".join(f"{n} {what}" for what, n in counts.items() if what != "kept" and n)
    held = len(found.eval_prompts)
    session.watch.note(f"{read}, {held} prompts held out{'; ' + lost if lost else ''}")
    if found.items:
        first = found.items[0].responses[0]
        session.watch.note("first example:\n" + session.encoder.show(first.prompt, first.tokens))


def _refuse_fewer_rounds(phases: Sequence[Phase], ledger: Ledger) -> None:
    wanted, done = sum(phase.rounds for phase in phases), len(ledger.details("learn"))
    if wanted < done:
        raise ConfigError(
            f"{done} rounds of this run are done, which rounds={wanted} cannot take back; raise "
            "it, or take an earlier policy with `prefloop export --round`"
        )


def _refuse_changed_phases(phases: Sequence[Phase], folder: RunFolder, ledger: Ledger) -> None:
    """A setting may be one phase's alone, and config.yaml holds the last one's."""
    known = ledger.finished(0, "settings") or {}
    for phase in phases:
        if phase.name in known:
            refuse_changes(known[phase.name], phase.config.model_dump(mode="json"), folder.path)


def _refuse_moved_phases(phases: Sequence[Phase], ledger: Ledger) -> None:
    """More rounds of an early phase would make its last ones of what a later phase did."""
    wanted = [phase.name for phase in phases for _ in range(phase.rounds)]
    begun = ledger.details("begin")
    for round, (then, now) in enumerate(zip(begun, wanted, strict=False), start=1):
        if then["phase"] != now:
            raise ConfigError(
                f"round {round} of this run was one of phase {then['phase']!r}, and with "
                f"these rounds it would be one of {now!r}; set rounds to what they were, or start "
                "another run with --out"
            )


def _restore(session: Session) -> None:
    """Put the policy where the last finished round left it."""
    learned = len(session.ledger.details("learn"))
    if learned:
        point = session.checkpoints.load(learned)
        load_weights(session.policy.model, dict(point.weights))
        session.policy.version = learned
        if session.knowledge is not None:
            session.knowledge.load_state_dict(point.parts.get("knowledge", {}))
        restore_reward(session, learned)
        session.watch.note(f"continuing after round {learned}")


def _check_disk(folder: RunFolder, config: Config) -> None:
    limit = config.checkpoint.disk_gb
    if limit is not None and (used := size_gb(folder.path)) > limit:
        raise FolderError(
            f"{folder.path} holds {used:.3g} GB, more than checkpoint.disk_gb={limit:g}; raise "
            "it, or lower checkpoint.keep"
        )
